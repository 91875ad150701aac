//! Azurite and moto, which `.ci/servers` installs: one of each for all tests of the process.

use std::net::SocketAddr;
use std::sync::OnceLock;

use super::server_program::{Program, given};

/// What installs the programs.
pub(crate) const INSTALLER: &str = ".ci/servers";

/// The account and key of Azurite, which everybody knows; the other servers take any.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A signature made with that key which allows everything, so that no test needs to sign.
pub(crate) const SIGNATURE: &str = "sv=2020-04-08&ss=b&srt=sco&sp=rwdlac&se=2999-01-01T00%3A00%3A00Z\
                                    &spr=https,http&sig=zMnuc901W%2BYQwFIX247gjtUIywHAblFvz%2FSY8f1DmMM%3D";

/// Azure, by Azurite; None if it is not there.
pub(crate) fn azurite() -> Option<SocketAddr> {
    static STARTED: OnceLock<Program> = OnceLock::new();
    let program = given("ATIO_AZURITE", INSTALLER)?;
    let started = STARTED.get_or_init(|| {
        let command = |port: u16| {
            let port = port.to_string();
            let arguments = [
                "--disableTelemetry",
                "--skipApiVersionCheck",
                "--silent",
                "--inMemoryPersistence",
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                &port,
            ];
            let arguments = arguments.into_iter().map(Into::into);
            [program.clone().into()]
                .into_iter()
                .chain(arguments)
                .collect()
        };
        Program::start(command).unwrap()
    });
    Some(started.address)
}

/// S3, by moto; None if it is not there.
pub(crate) fn moto() -> Option<SocketAddr> {
    static STARTED: OnceLock<Program> = OnceLock::new();
    const SCRIPT: &str = include_str!("serial_moto.py");
    let python = given("ATIO_MOTO_PYTHON", INSTALLER)?;
    let started = STARTED.get_or_init(|| {
        let command = |port: u16| {
            vec![
                python.clone().into(),
                "-c".into(),
                SCRIPT.into(),
                port.to_string().into(),
            ]
        };
        Program::start(command).unwrap()
    });
    Some(started.address)
}
