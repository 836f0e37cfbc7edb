//! Steps that run programs.

use std::time::Duration;

use serde_json::{json, Value};
use sha2::{Digest, Sha256};
use stockade_client::sandbox::v1::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{transport::Channel, Request};

use crate::session::{number, text, texts, Outcome, Session, Ticks};

/// Longer output is told by its digest alone.
const TEXT_BYTES: usize = 65536;

fn service(session: &Session) -> exec_service_client::ExecServiceClient<Channel> {
    exec_service_client::ExecServiceClient::new(session.channel("sandbox"))
}

pub fn command(with: &Value) -> Command {
    let timeout = with["timeout_ms"].as_u64().map(Duration::from_millis);
    Command {
        args: texts(with, "args"),
        timeout: timeout.and_then(|timeout| timeout.try_into().ok()),
        max_output_bytes: number(with, "max_output_bytes"),
        ..Default::default()
    }
}

fn starting(start: ExecStart) -> ExecRequest {
    ExecRequest { request: Some(exec_request::Request::Start(start)) }
}

fn telling(input: exec_input::Input) -> ExecRequest {
    ExecRequest { request: Some(exec_request::Request::Input(ExecInput { input: Some(input) })) }
}

/// Runs a program with the given stdin, and sends the given signal when it first writes.
pub async fn execute(session: &mut Session, with: &Value) -> Outcome {
    let (requests, sent) = mpsc::unbounded_channel();
    let start = ExecStart { sandbox: session.sandbox.clone(), command: Some(command(with)), ..Default::default() };
    requests.send(starting(start))?;
    for text in texts(with, "stdin") {
        requests.send(telling(exec_input::Input::Stdin(text.into_bytes())))?;
    }
    let signal = with["signal"].as_i64().map(|signal| ExecSignal { signal: signal as i32, group: false });
    let mut requests = Some(requests);
    if signal.is_none() {
        requests.take().unwrap().send(telling(exec_input::Input::CloseStdin(true)))?;
    }
    let mut events = service(session).exec(UnboundedReceiverStream::new(sent)).await?.into_inner();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(event) = events.message().await? {
        match event.event {
            Some(exec_response::Event::Stdout(output)) => {
                if let (Some(signal), Some(requests), true) = (signal, &requests, stdout.is_empty()) {
                    requests.send(telling(exec_input::Input::Signal(signal)))?;
                }
                stdout.extend(output.data);
            }
            Some(exec_response::Event::Stderr(output)) => stderr.extend(output.data),
            Some(exec_response::Event::Ended(ending)) => return Ok(told(&stdout, &stderr, &ending)),
            _ => {}
        }
    }
    Err("the stream ended without `ended`".into())
}

pub async fn run(session: &mut Session, with: &Value) -> Outcome {
    let mut stdin = texts(with, "stdin").concat().into_bytes();
    stdin.resize(stdin.len() + number(with, "stdin_bytes") as usize, b'x');
    let mut request = Request::new(RunCommandRequest {
        sandbox: session.sandbox.clone(),
        command: Some(command(with)),
        stdin,
        ..Default::default()
    });
    if let Some(deadline) = with["deadline_ms"].as_u64() {
        request.set_timeout(Duration::from_millis(deadline));
    }
    if let Some(traceparent) = with["traceparent"].as_str() {
        request.metadata_mut().insert("traceparent", traceparent.parse()?);
    }
    let answer = service(session).run_command(request).await?.into_inner();
    Ok(told(&answer.stdout, &answer.stderr, &answer.ending.unwrap_or_default()))
}

/// Starts a program, goes away after its first output, and comes back for the rest.
pub async fn attach(session: &mut Session, with: &Value) -> Outcome {
    let (events, exec, _requests) = begin(session, with, true).await?;
    let mut events = events;
    let before = match events.message().await?.and_then(|event| event.event) {
        Some(exec_response::Event::Stdout(output)) => output.data,
        other => return Err(format!("no output: {other:?}").into()),
    };
    drop(events);
    let place = ExecAttach { sandbox: session.sandbox.clone(), exec, offset: before.len() as u64 };
    let attach = AttachExecRequest { request: Some(attach_exec_request::Request::Attach(place)) };
    let mut events = service(session).attach_exec(tokio_stream::iter([attach])).await?.into_inner();
    let mut after = Vec::new();
    while let Some(event) = events.message().await? {
        match event.event {
            Some(attach_exec_response::Event::Stdout(output)) => after.extend(output.data),
            Some(attach_exec_response::Event::Ended(ending)) => {
                let ending = ending.reason().as_str_name();
                return Ok(json!({ "before": lossy(&before), "after": lossy(&after), "ending": ending }));
            }
            _ => {}
        }
    }
    Err("the stream ended without `ended`".into())
}

/// Goes away from a program that runs, which in Rust is to drop both ends of the stream; it is killed.
pub async fn cancel(session: &mut Session, with: &Value) -> Outcome {
    let (events, exec, requests) = begin(session, with, false).await?;
    drop((events, requests));
    let request = GetExecRequest { sandbox: session.sandbox.clone(), exec };
    let ticks = Ticks::new();
    loop {
        let found = service(session).get_exec(request.clone()).await?.into_inner().exec.unwrap_or_default();
        if found.state() == ExecState::Ended || !ticks.next().await {
            let ending = found.ending.unwrap_or_default();
            return Ok(json!({ "ending": ending.reason().as_str_name() }));
        }
    }
}

type Begun = (tonic::Streaming<ExecResponse>, String, mpsc::UnboundedSender<ExecRequest>);

/// Opens an Exec and waits until its program runs; the stream, the exec's id, and where requests go.
async fn begin(session: &Session, with: &Value, detach: bool) -> Result<Begun, crate::session::Fault> {
    let (requests, sent) = mpsc::unbounded_channel();
    requests.send(starting(ExecStart {
        sandbox: session.sandbox.clone(),
        command: Some(command(with)),
        no_stdin: true,
        detach_on_cancel: detach,
        ..Default::default()
    }))?;
    let mut events = service(session).exec(UnboundedReceiverStream::new(sent)).await?.into_inner();
    match events.message().await?.and_then(|event| event.event) {
        Some(exec_response::Event::Started(started)) => Ok((events, started.exec, requests)),
        other => Err(format!("not started: {other:?}").into()),
    }
}

fn told(stdout: &[u8], stderr: &[u8], ending: &Ending) -> Value {
    let mut told = json!({
        "stdout_bytes": stdout.len(),
        "stdout_sha256": hex::encode(Sha256::digest(stdout)),
        "stderr": lossy(stderr),
        "ending": ending.reason().as_str_name(),
        "exit_code": ending.exit_code,
        "signal": ending.signal,
        "partial": ending.output_partial,
    });
    if stdout.len() <= TEXT_BYTES {
        told["stdout"] = lossy(stdout).into();
    }
    told
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into()
}

/// The standard output of a program that runs in the caller's trace.
pub async fn traced(session: &mut Session, with: &Value, traceparent: &str) -> Result<String, crate::session::Fault> {
    let mut with = with.clone();
    with["traceparent"] = traceparent.into();
    Ok(text(&run(session, &with).await?, "stdout").to_string())
}
