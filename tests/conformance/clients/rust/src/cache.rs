//! Steps on the embedding cache: golden keys, vectors bit for bit, and a stream of more than a message holds.

use std::{collections::BTreeMap, fs};

use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use stockade_client::embeddingcache::v1::*;
use tonic::transport::Channel;

use crate::session::{number, text, Outcome, Session};

const SPEC: &str = "stockade.embeddingcache.key/1";

fn service(session: &Session) -> embedding_cache_service_client::EmbeddingCacheServiceClient<Channel> {
    embedding_cache_service_client::EmbeddingCacheServiceClient::new(session.channel("cache"))
}

/// Computes every golden key.
pub fn keys(with: &Value) -> Outcome {
    let file: Value = serde_json::from_str(&fs::read_to_string(text(with, "path"))?)?;
    let golden = file["keys"].as_array().ok_or("no keys")?;
    let wrong: Vec<&str> = golden
        .iter()
        .filter(|one| key(&one["model"], text(one, "text")) != text(one, "key"))
        .map(|one| text(one, "case"))
        .collect();
    Ok(json!({ "computed": golden.len(), "wrong": wrong }))
}

/// A key as docs/embedding-keys.md says.
fn key(model: &Value, text_: &str) -> String {
    let given = model["parameters"].as_object().into_iter().flatten();
    let sorted: BTreeMap<&str, &str> =
        given.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())).collect();
    let parameters: Vec<u8> =
        sorted.iter().flat_map(|(name, value)| [framed(name.as_bytes()), framed(value.as_bytes())].concat()).collect();
    let dimensions = number(model, "dimensions").to_string();
    let fields: [&[u8]; 10] = [
        SPEC.as_bytes(),
        text(model, "provider").as_bytes(),
        text(model, "model").as_bytes(),
        text(model, "revision").as_bytes(),
        dimensions.as_bytes(),
        model["dtype"].as_str().unwrap_or("f32").as_bytes(),
        text(model, "role").as_bytes(),
        if model["normalise"] == true { b"1" } else { b"0" },
        &parameters,
        text_.as_bytes(),
    ];
    hex::encode(Sha256::digest(fields.map(framed).concat()))
}

fn framed(field: &[u8]) -> Vec<u8> {
    [&(field.len() as u64).to_be_bytes(), field].concat()
}

/// Puts rows, one of them bad, and asks for them and for one that is not there.
pub async fn vectors(session: &mut Session, with: &Value) -> Outcome {
    let layer = text(with, "layer").to_string();
    let format = Some(VectorFormat { dimensions: number(with, "dimensions") as u32, dtype: Dtype::F32.into() });
    let rows = Some(Rows { format, vectors: hex::decode(text(with, "rows"))?, sizes: Vec::new() });
    let put = BatchPutRequest { layer: layer.clone(), keys: hex::decode(text(with, "keys"))?, rows, ttl: None };
    let put = service(session).batch_put(put).await?.into_inner();
    let ask = BatchGetRequest { layer, keys: hex::decode(text(with, "ask"))?, format };
    let got = service(session).batch_get(ask).await?.into_inner();
    let faults: Vec<Value> = put.errors.iter().map(|error| json!([error.row, error.fault().as_str_name()])).collect();
    Ok(json!({
        "stored": hex::encode(put.stored),
        "faults": faults,
        "hits": hex::encode(got.hits),
        "vectors": hex::encode(got.vectors),
    }))
}

/// Streams a file of rows in and out again, in chunks, with one key more than there are rows.
pub async fn vector_stream(session: &mut Session, with: &Value) -> Outcome {
    let (data, layer) = (fs::read(text(with, "source"))?, text(with, "layer").to_string());
    let dimensions = number(with, "dimensions") as u32;
    let (size, chunk) = (dimensions as usize * 4, number(with, "chunk_rows") as usize);
    let format = Some(VectorFormat { dimensions, dtype: Dtype::F32.into() });
    let names: Vec<[u8; 32]> = (0..=data.len() / size).map(|row| Sha256::digest(format!("row {row}")).into()).collect();
    let puts: Vec<StreamPutRequest> = data
        .chunks(size * chunk)
        .zip(names.chunks(chunk))
        .map(|(part, names)| StreamPutRequest {
            layer: layer.clone(),
            keys: names[..part.len() / size].concat(),
            rows: Some(Rows { format, vectors: part.to_vec(), sizes: Vec::new() }),
            ttl: None,
        })
        .collect();
    let mut replies = service(session).stream_put(tokio_stream::iter(puts)).await?.into_inner();
    let mut stored = 0;
    while let Some(reply) = replies.message().await? {
        stored += ones(&reply.stored);
    }
    let ask = StreamGetRequest { layer, keys: names.concat(), format };
    let mut replies = service(session).stream_get(tokio_stream::iter([ask])).await?.into_inner();
    let (mut messages, mut asked, mut hits, mut found) = (0, 0, 0, Vec::new());
    while let Some(reply) = replies.message().await? {
        messages += 1;
        asked += reply.row_count;
        hits += ones(&reply.hits);
        found.extend(reply.vectors);
    }
    Ok(json!({
        "stored": stored,
        "asked": asked,
        "found": hits,
        "chunks": if messages > 1 { "several" } else { "one" },
        "bytes": found.len(),
        "sha256": hex::encode(Sha256::digest(&found)),
    }))
}

fn ones(bitmap: &[u8]) -> u32 {
    bitmap.iter().map(|byte| byte.count_ones()).sum()
}
