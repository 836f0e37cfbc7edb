//! Steps on the life of a sandbox.

use std::{collections::HashMap, time::Duration};

use prost_types::FieldMask;
use serde_json::{json, Value};
use stockade_client::{connect, sandbox::v1::*};
use tonic::{transport::Channel, Request};

use crate::session::{number, security, text, Outcome, Session};

fn service(session: &Session) -> sandbox_service_client::SandboxServiceClient<Channel> {
    sandbox_service_client::SandboxServiceClient::new(session.channel("sandbox"))
}

/// Creates a sandbox twice with one request_id.
pub async fn create(session: &mut Session, with: &Value) -> Outcome {
    let (memory_bytes, disk_bytes) = (number(with, "memory_bytes") as i64, number(with, "disk_bytes") as i64);
    let request = CreateSandboxRequest {
        agent: text(with, "agent").into(),
        agent_type: text(with, "agent_type").into(),
        request_id: text(with, "request_id").into(),
        limits: Some(Limits { memory_bytes, disk_bytes, ..Default::default() }),
        ..Default::default()
    };
    let mut service = service(session);
    let first = service.create_sandbox(request.clone()).await?.into_inner().sandbox.unwrap_or_default();
    let again = service.create_sandbox(request).await?.into_inner().sandbox.unwrap_or_default();
    session.sandbox = first.name.clone();
    Ok(json!({
        "same": first.name == again.name,
        "state": first.state().as_str_name(),
        "profile": first.profile,
        "known": first.agent_type_known,
    }))
}

pub async fn get(session: &mut Session, with: &Value) -> Outcome {
    let name = with["name"].as_str().unwrap_or(&session.sandbox).to_string();
    let found = service(session).get_sandbox(GetSandboxRequest { name }).await?.into_inner().sandbox.unwrap_or_default();
    Ok(json!({ "state": found.state().as_str_name(), "agent": found.agent }))
}

/// Watches the sandbox, changes a label, sees it, goes away and comes back.
pub async fn watch(session: &mut Session, with: &Value) -> Outcome {
    let filter = SandboxFilter { names: vec![session.sandbox.clone()], ..Default::default() };
    let request = WatchSandboxesRequest { filter: Some(filter) };
    let mut service = service(session);
    let mut events = service.watch_sandboxes(request.clone()).await?.into_inner();
    let first = events.message().await?.and_then(|event| event.sandbox).ok_or("nothing to watch")?;
    while events.message().await?.is_some_and(|event| event.sandbox.is_some()) {}
    let labels = HashMap::from([("session".to_string(), text(with, "label").to_string())]);
    let update_mask = Some(FieldMask { paths: vec!["labels".into()] });
    let update = UpdateSandboxRequest { name: session.sandbox.clone(), update_mask, labels, ..Default::default() };
    service.update_sandbox(update).await?;
    let mut seen = first.clone();
    while !seen.labels.contains_key("session") {
        seen = events.message().await?.and_then(|event| event.sandbox).ok_or("the watch ended")?;
    }
    drop(events);
    let mut events = service.watch_sandboxes(request).await?.into_inner();
    let back = events.message().await?.and_then(|event| event.sandbox).ok_or("nothing to watch again")?;
    Ok(json!({
        "first": first.state().as_str_name(),
        "label": seen.labels["session"],
        "again": back.labels.get("session"),
    }))
}

/// Deletes the sandbox twice: the second time is no error.
pub async fn delete(session: &mut Session) -> Outcome {
    let request = DeleteSandboxRequest { name: session.sandbox.clone(), ..Default::default() };
    let mut service = service(session);
    let ended = service.delete_sandbox(request.clone()).await?.into_inner().sandbox.unwrap_or_default();
    let again = service.delete_sandbox(request).await?.into_inner().sandbox.unwrap_or_default();
    Ok(json!({ "state": ended.state().as_str_name(), "again": again.state().as_str_name() }))
}

/// Asks for sandboxes over another connection than the session's.
pub async fn reach(with: &Value) -> Outcome {
    let channel = connect(text(with, "target"), security(&with["tls"]).as_ref())?;
    let mut request = Request::new(ListSandboxesRequest::default());
    request.set_timeout(Duration::from_secs(10));
    sandbox_service_client::SandboxServiceClient::new(channel).list_sandboxes(request).await?;
    Ok(json!({ "reached": true }))
}
