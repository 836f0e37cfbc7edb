//! What the steps of a session share: channels to the services, the sandbox, and how a failed call is told.

use std::{collections::HashMap, error::Error, fs, path::PathBuf, time::Duration};

use serde_json::{json, Value};
use stockade_client::{code, connect, error_info, Tls};
use tokio::time::{sleep, Instant};
use tonic::{transport::Channel, Status};
use tonic_types::StatusExt;

pub type Fault = Box<dyn Error + Send + Sync>;
pub type Outcome = Result<Value, Fault>;

const WAIT: Duration = Duration::from_secs(20);

pub struct Session {
    channels: HashMap<String, Channel>,
    pub sandbox: String,
}

impl Session {
    pub fn open(path: &str) -> Result<(Session, Vec<Value>), Fault> {
        let file: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
        let security = security(&file["tls"]);
        let mut channels = HashMap::new();
        for (service, target) in file["targets"].as_object().ok_or("no targets")? {
            let target = target.as_str().unwrap_or_default();
            channels.insert(service.clone(), connect(target, security.as_ref())?);
        }
        let steps = file["steps"].as_array().ok_or("no steps")?.clone();
        Ok((Session { channels, sandbox: String::new() }, steps))
    }

    /// The channel to a service, by its short name.
    pub fn channel(&self, service: &str) -> Channel {
        self.channels[service].clone()
    }
}

pub fn security(files: &Value) -> Option<Tls> {
    let path = |name: &str| files[name].as_str().map(PathBuf::from);
    Some(Tls { ca: path("ca")?, identity: path("cert").zip(path("key")), server_name: None })
}

/// Code, and what google.rpc's details say: reason, domain, metadata, and the fields that break a rule.
pub fn failure(status: &Status) -> Value {
    let mut told = json!({ "code": code(status) as i32 });
    if let Some(info) = error_info(status) {
        told["reason"] = info.reason.into();
        told["domain"] = info.domain.into();
        told["metadata"] = json!(info.metadata);
    }
    if let Some(bad) = status.get_details_bad_request() {
        told["fields"] = bad.field_violations.into_iter().map(|violation| violation.field).collect();
    }
    told
}

/// Ticks until time is up: `while ticks.next().await` reads again and again.
pub struct Ticks(Instant);

impl Ticks {
    pub fn new() -> Ticks {
        Ticks(Instant::now() + WAIT)
    }

    pub async fn next(&self) -> bool {
        sleep(Duration::from_millis(100)).await;
        Instant::now() < self.0
    }
}

pub fn text<'a>(with: &'a Value, name: &str) -> &'a str {
    with[name].as_str().unwrap_or_default()
}

pub fn number(with: &Value, name: &str) -> u64 {
    with[name].as_u64().unwrap_or_default()
}

pub fn texts(with: &Value, name: &str) -> Vec<String> {
    let items = with[name].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(String::from).collect()
}
