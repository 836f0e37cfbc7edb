//! Steps on decisions, the audit record and traces.

use std::collections::HashSet;

use serde_json::{json, Value};
use stockade_client::audit::v1::*;
use stockade_client::networkpolicy::v1::{
    decision_service_client::DecisionServiceClient, CheckRequestRequest, Decision, GetDecisionRequest,
    RecordRequestRequest, RequestOutcome, RequestToCheck,
};
use tonic::transport::Channel;

use crate::exec::traced;
use crate::session::{number, text, Fault, Outcome, Session, Ticks};

fn decisions(session: &Session) -> DecisionServiceClient<Channel> {
    DecisionServiceClient::new(session.channel("policy"))
}

async fn decide(session: &Session, with: &Value) -> Result<Decision, Fault> {
    let request = RequestToCheck {
        agent: text(with, "agent").into(),
        agent_type: text(with, "agent_type").into(),
        host: text(with, "host").into(),
        port: number(with, "port") as u32,
        ..Default::default()
    };
    let answer = decisions(session).check_request(CheckRequestRequest { request: Some(request) }).await?;
    Ok(answer.into_inner().decision.unwrap_or_default())
}

/// Asks for one request as often as said; tells the last decision.
pub async fn check(session: &mut Session, with: &Value) -> Outcome {
    let mut decision = decide(session, with).await?;
    for _ in 1..number(with, "times") {
        decision = decide(session, with).await?;
    }
    Ok(json!({
        "verdict": decision.verdict().as_str_name(),
        "rule": decision.rule,
        "host": decision.canonical_host,
        "named": !decision.decision_id.is_empty(),
        "retry_after": decision.retry_after.is_some_and(|wait| wait.seconds > 0 || wait.nanos > 0),
    }))
}

/// Says twice how an allowed request ended, and reads it back.
pub async fn record(session: &mut Session, with: &Value) -> Outcome {
    let decision_id = decide(session, with).await?.decision_id;
    let outcome = RequestOutcome {
        status: number(with, "status") as u32,
        bytes_received: number(with, "bytes_received"),
        ..Default::default()
    };
    let request = RecordRequestRequest { decision_id: decision_id.clone(), outcome: Some(outcome) };
    let first = decisions(session).record_request(request.clone()).await?.into_inner().recorded;
    let again = decisions(session).record_request(request).await?.into_inner().recorded;
    let found = decisions(session).get_decision(GetDecisionRequest { decision_id }).await?.into_inner();
    let kept = found.record.and_then(|record| record.outcome).unwrap_or_default();
    Ok(json!({ "recorded": [first, again], "status": kept.status, "bytes_received": kept.bytes_received }))
}

pub async fn get_decision(session: &mut Session, with: &Value) -> Outcome {
    let decision_id = text(with, "decision_id").to_string();
    decisions(session).get_decision(GetDecisionRequest { decision_id }).await?;
    Ok(json!({}))
}

/// Reads the record of an agent by pages, once its sandbox's making is in it.
pub async fn audit(session: &mut Session, with: &Value) -> Outcome {
    let size = number(with, "page_size") as i32;
    let filter = EntryFilter { agents: vec![text(with, "agent").into()], ..Default::default() };
    let created = |entries: &[Vec<Entry>]| entries.iter().flatten().any(|entry| entry.action() == Action::SandboxCreated);
    let ticks = Ticks::new();
    let mut found = pages(session, &filter, size).await?;
    while !created(&found) && ticks.next().await {
        found = pages(session, &filter, size).await?;
    }
    let entries: Vec<&Entry> = found.iter().flatten().collect();
    let ids: HashSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    let times = entries.iter().map(|entry| entry.time.map(|time| (time.seconds, time.nanos)));
    let (_, full) = found.split_last().ok_or("no page")?;
    Ok(json!({
        "pages": if found.len() > 1 { "several" } else { "one" },
        "full": full.iter().all(|page| page.len() == size as usize),
        "distinct": ids.len() == entries.len(),
        "in_order": times.is_sorted(),
        "created": created(&found),
    }))
}

async fn pages(session: &Session, filter: &EntryFilter, page_size: i32) -> Result<Vec<Vec<Entry>>, Fault> {
    let mut reader = audit_service_client::AuditServiceClient::new(session.channel("audit"));
    let order = EntryOrder::OldestFirst.into();
    let mut request =
        ListEntriesRequest { filter: Some(filter.clone()), page_size, order, page_token: String::new() };
    let mut found = Vec::new();
    loop {
        let answer = reader.list_entries(request.clone()).await?.into_inner();
        found.push(answer.entries);
        if answer.next_page_token.is_empty() {
            return Ok(found);
        }
        request.page_token = answer.next_page_token;
    }
}

/// Runs a program in a trace that begins here; looks for it in the process, the record and the kept spans.
pub async fn trace(session: &mut Session, with: &Value) -> Outcome {
    let (trace_id, span_id) = (hex::encode(rand::random::<[u8; 16]>()), hex::encode(rand::random::<[u8; 8]>()));
    let stdout = traced(session, with, &format!("00-{trace_id}-{span_id}-01")).await?;
    let filter = EntryFilter { trace_id: trace_id.clone(), ..Default::default() };
    let ticks = Ticks::new();
    let mut recorded = false;
    while !recorded && ticks.next().await {
        recorded = pages(session, &filter, 100).await?.iter().any(|page| !page.is_empty());
    }
    let mut traces = trace_service_client::TraceServiceClient::new(session.channel("audit"));
    let ticks = Ticks::new();
    while ticks.next().await {
        let request = ListTracesRequest { page_size: 1000, ..Default::default() };
        let listed = traces.list_traces(request).await?.into_inner().traces;
        if listed.iter().any(|summary| summary.trace_id == trace_id) {
            break;
        }
    }
    let ticks = Ticks::new();
    let mut child = false;
    while !child && ticks.next().await {
        let request = GetTraceRequest { trace_id: trace_id.clone() };
        let kept = traces.get_trace(request).await?.into_inner().spans;
        child = kept.iter().any(|span| span.parent_span_id == span_id);
    }
    Ok(json!({
        "process": stdout.contains(&trace_id),
        "record": recorded,
        "child": child,
    }))
}
