//! Stockade's contract for Rust: `stockade_client::sandbox::v1` and its like hold messages and clients; [`connect`]
//! opens a channel to them over a local socket, TLS or mutual TLS; [`error_info`] tells why a call failed.

mod channel;

/// The whole contract, by proto package.
#[allow(clippy::all, rustdoc::all)]
pub mod proto {
    include!("gen/mod.rs");
}

pub use channel::{code, connect, error_info, local, Tls};
pub use proto::stockade::*;
