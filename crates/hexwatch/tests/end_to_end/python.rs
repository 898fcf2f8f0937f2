//! Python for what must not be our own code.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::process::{path, succeed};

/// Runs `fixtures/python/SCRIPT` with the packages of `requirements.txt`.
pub(crate) fn python(script: &str) -> Command {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(PYTHON.get_or_init(interpreter));
    // No compiled files beside the sources.
    command.arg("-B").arg(fixtures().join(script));
    command
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/python")
}

/// A Python with the packages, made once below `.cache`.
fn interpreter() -> PathBuf {
    let venv = fixtures().join("../../.cache/venv");
    let python = venv.join("bin/python");
    let needs = "import confluent_kafka, deltalake, h3, pyarrow";
    let tried = Command::new(&python).args(["-c", needs]).output();
    if !tried.is_ok_and(|output| output.status.success()) {
        succeed(Command::new("python3").args(["-m", "venv", path(&venv)]));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        succeed(Command::new(&python).args(install).arg(fixtures().join("requirements.txt")));
    }
    python
}
