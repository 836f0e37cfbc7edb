//! The conformance session's client in Rust: runs the steps of a session and prints one JSON result a step.
//!
//! Usage: client SESSION.json (its form: ../README.md)

mod cache;
mod exec;
mod files;
mod record;
mod sandbox;
mod session;

use std::env;

use serde_json::{json, Value};
use session::{failure, text, Outcome, Session};
use tonic::Status;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), session::Fault> {
    let path = env::args().nth(1).ok_or("usage: client SESSION.json")?;
    let (mut session, steps) = Session::open(&path)?;
    for step in &steps {
        let mut told = match run(&mut session, text(step, "do"), &step["with"]).await {
            Ok(result) => json!({ "result": result }),
            Err(fault) => match fault.downcast_ref::<Status>() {
                Some(status) => json!({ "error": failure(status) }),
                None => json!({ "broken": fault.to_string() }),
            },
        };
        told["step"] = step["name"].clone();
        println!("{told}");
    }
    Ok(())
}

async fn run(session: &mut Session, operation: &str, with: &Value) -> Outcome {
    match operation {
        "create" => sandbox::create(session, with).await,
        "get" => sandbox::get(session, with).await,
        "watch" => sandbox::watch(session, with).await,
        "delete" => sandbox::delete(session).await,
        "reach" => sandbox::reach(with).await,
        "exec" => exec::execute(session, with).await,
        "run" => exec::run(session, with).await,
        "attach" => exec::attach(session, with).await,
        "cancel" => exec::cancel(session, with).await,
        "files" => files::files(session, with).await,
        "read_file" => files::read_file(session, with).await,
        "copy" => files::copy(session, with).await,
        "archive" => files::archive(session, with).await,
        "check" => record::check(session, with).await,
        "record" => record::record(session, with).await,
        "get_decision" => record::get_decision(session, with).await,
        "audit" => record::audit(session, with).await,
        "trace" => record::trace(session, with).await,
        "keys" => cache::keys(with),
        "vectors" => cache::vectors(session, with).await,
        "vector_stream" => cache::vector_stream(session, with).await,
        unknown => Err(format!("no operation {unknown:?}").into()),
    }
}
