//! Steps on files and archives.

use std::{fs, path::Path};

use base64::{prelude::BASE64_STANDARD, Engine};
use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use stockade_client::sandbox::v1::*;
use tonic::transport::Channel;

use crate::session::{number, text, Fault, Outcome, Session};

const CHUNK_BYTES: usize = 256 * 1024;

fn service(session: &Session) -> file_service_client::FileServiceClient<Channel> {
    file_service_client::FileServiceClient::new(session.channel("sandbox"))
}

/// Writes a file, looks at it, reads a range, lists its directory by pages of one, moves and removes it.
pub async fn files(session: &mut Session, with: &Value) -> Outcome {
    let (sandbox, path) = (session.sandbox.clone(), text(with, "path").to_string());
    let directory = Path::new(&path).parent().unwrap_or(Path::new("/")).display().to_string();
    let moved = format!("{path}.moved");
    write(session, &path, text(with, "text").as_bytes()).await?;
    let stat = StatFileRequest { sandbox: sandbox.clone(), path: path.clone() };
    let info = service(session).stat_file(stat).await?.into_inner().info.unwrap_or_default();
    let part = read(session, &path, number(with, "offset"), number(with, "length")).await?;
    let names = list(session, &directory).await?;
    let source = path.clone();
    let change = MoveFileRequest { sandbox: sandbox.clone(), source, destination: moved.clone(), replace: false };
    service(session).move_file(change).await?;
    service(session).remove_file(RemoveFileRequest { sandbox, path: moved, ..Default::default() }).await?;
    Ok(json!({
        "size": info.size_bytes,
        "kind": info.kind().as_str_name(),
        "range": String::from_utf8(part)?,
        "names": names,
        "left": list(session, &directory).await?,
    }))
}

pub async fn read_file(session: &mut Session, with: &Value) -> Outcome {
    Ok(json!({ "text": String::from_utf8(read(session, text(with, "path"), 0, 0).await?)? }))
}

/// Copies a local file in and out again.
pub async fn copy(session: &mut Session, with: &Value) -> Outcome {
    let path = text(with, "path");
    write(session, path, &fs::read(text(with, "source"))?).await?;
    let back = read(session, path, 0, 0).await?;
    Ok(json!({ "bytes": back.len(), "sha256": hex::encode(Sha256::digest(&back)) }))
}

/// Unpacks an archive, reads one of its files, and packs it again.
pub async fn archive(session: &mut Session, with: &Value) -> Outcome {
    let (sandbox, path) = (session.sandbox.clone(), text(with, "path").to_string());
    let start = UploadArchiveStart { sandbox: sandbox.clone(), path: path.clone(), ..Default::default() };
    let data = BASE64_STANDARD.decode(text(with, "archive"))?;
    let contents = [upload_archive_request::Content::Start(start), upload_archive_request::Content::Data(data)];
    let requests = contents.map(|content| UploadArchiveRequest { content: Some(content) });
    let unpacked = service(session).upload_archive(tokio_stream::iter(requests)).await?.into_inner();
    let member = read(session, &format!("{path}/{}", text(with, "member")), 0, 0).await?;
    let request = DownloadArchiveRequest { sandbox, path, gzip: false };
    let mut parts = service(session).download_archive(request).await?.into_inner();
    let (mut packed, mut summary) = (Vec::new(), ArchiveSummary::default());
    while let Some(part) = parts.message().await? {
        match part.content {
            Some(download_archive_response::Content::Data(data)) => packed.extend(data),
            Some(download_archive_response::Content::Summary(told)) => summary = told,
            None => {}
        }
    }
    Ok(json!({
        "unpacked": unpacked.unpacked_bytes,
        "text": String::from_utf8(member)?,
        "packed": summary.content_bytes,
        "tar": String::from_utf8_lossy(&packed[257..262]),
    }))
}

async fn write(session: &Session, path: &str, data: &[u8]) -> Result<(), Fault> {
    use write_file_request::Content;
    let (sandbox, path) = (session.sandbox.clone(), path.to_string());
    let start = WriteFileStart { sandbox, path, parents: true, ..Default::default() };
    let chunks = data.chunks(CHUNK_BYTES).map(|chunk| Content::Data(chunk.to_vec()));
    let contents: Vec<_> = [Content::Start(start)].into_iter().chain(chunks).chain([Content::Finish(true)]).collect();
    let requests = contents.into_iter().map(|content| WriteFileRequest { content: Some(content) });
    service(session).write_file(tokio_stream::iter(requests)).await?;
    Ok(())
}

async fn read(session: &Session, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, Fault> {
    let request = ReadFileRequest { sandbox: session.sandbox.clone(), path: path.into(), offset, length };
    let mut parts = service(session).read_file(request).await?.into_inner();
    let mut data = Vec::new();
    while let Some(part) = parts.message().await? {
        if let Some(read_file_response::Content::Data(bytes)) = part.content {
            data.extend(bytes);
        }
    }
    Ok(data)
}

async fn list(session: &Session, path: &str) -> Result<Vec<String>, Fault> {
    let sandbox = session.sandbox.clone();
    let mut request = ListFilesRequest { sandbox, path: path.into(), page_size: 1, page_token: String::new() };
    let mut names = Vec::new();
    loop {
        let page = service(session).list_files(request.clone()).await?.into_inner();
        names.extend(page.files.into_iter().map(|info| info.path));
        if page.next_page_token.is_empty() {
            return Ok(names);
        }
        request.page_token = page.next_page_token;
    }
}
