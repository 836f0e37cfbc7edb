//! Writes the Rust client's modules from descriptors, so that who uses the client needs no generator.
//!
//! Usage: stockade-client-codegen DESCRIPTORS OUTPUT-DIRECTORY

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1).map(PathBuf::from);
    let (Some(descriptors), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("usage: stockade-client-codegen DESCRIPTORS OUTPUT-DIRECTORY".into());
    };
    let files = FileDescriptorSet::decode(&*fs::read(descriptors)?)?;
    fs::create_dir_all(&output)?;
    tonic_prost_build::configure()
        .build_server(false)
        .include_file("mod.rs")
        .out_dir(output)
        .compile_fds(files)?;
    Ok(())
}
