use std::{env, error::Error, fs, io, path::Path, path::PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{ErrorInfo, StatusExt};
use tower::service_fn;

/// The PEM files of a secured connection. `ca` alone proves the server; with `identity`, a certificate and its key, the
/// client is proved too.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    pub ca: PathBuf,
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate is for, where it is not the target's.
    pub server_name: Option<String>,
}

/// Opens a channel to `target`: `unix:/path` or `host:port`. Without `security` the target must be local, since nothing
/// is encrypted. No connection is made before the first call.
pub fn connect(target: &str, security: Option<&Tls>) -> Result<Channel, Box<dyn Error + Send + Sync>> {
    if let Some(path) = target.strip_prefix("unix:") {
        return Ok(over_socket(path.into())?);
    }
    let Some(security) = security else {
        return Ok(Endpoint::from_shared(format!("http://{target}"))?.connect_lazy());
    };
    let endpoint = Endpoint::from_shared(format!("https://{target}"))?;
    Ok(endpoint.tls_config(security.config()?)?.connect_lazy())
}

/// The target of a service of the stack on this machine, by its short name: sandbox, policy, cache or audit. Inside a
/// sandbox one socket leads to all of them as the agent; outside, the operator's own directory is used.
pub fn local(service: &str) -> String {
    let run_dir = env::var("STOCKADE_STACK_RUN_DIR").unwrap_or_else(|_| "/run/stockade".into());
    let inside = Path::new(&run_dir).join("api.sock");
    if inside.exists() {
        return format!("unix:{}", inside.display());
    }
    let person = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| env::var(name).ok());
    format!("unix:{run_dir}/operators/{}/{service}.sock", person.unwrap_or_else(|| "root".into()))
}

/// What a failed call says about its cause: its reason is a name of `errors.v1.Reason` without `REASON_`.
pub fn error_info(status: &Status) -> Option<ErrorInfo> {
    status.get_details_error_info()
}

/// The code of a failed call, as every other language has it. What fails at the client is CANCELLED or UNKNOWN to tonic: here
/// a deadline that passed is DEADLINE_EXCEEDED, and a connection that broke, such as over a certificate, UNAVAILABLE.
pub fn code(status: &Status) -> Code {
    match error_source(status) {
        Some(source) if source.is::<TimeoutExpired>() => Code::DeadlineExceeded,
        Some(_) if matches!(status.code(), Code::Cancelled | Code::Unknown) => Code::Unavailable,
        _ => status.code(),
    }
}

fn error_source(status: &Status) -> Option<&(dyn Error + 'static)> {
    let mut source = status.source()?;
    while let Some(deeper) = source.source() {
        source = deeper;
    }
    Some(source)
}

fn over_socket(path: PathBuf) -> Result<Channel, tonic::transport::Error> {
    let dial = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Ok(Endpoint::from_shared("http://localhost")?.connect_with_connector_lazy(dial))
}

impl Tls {
    fn config(&self) -> io::Result<ClientTlsConfig> {
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(fs::read(&self.ca)?));
        if let Some((certificate, key)) = &self.identity {
            config = config.identity(Identity::from_pem(fs::read(certificate)?, fs::read(key)?));
        }
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        Ok(config)
    }
}
