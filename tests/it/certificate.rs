//! Test bed: one certificate authority of the run, and a server certificate of it for 127.0.0.1 and localhost.
//!
//! Endpoints and Postgres use the same; out of scope: who trusts it (`TIKKU_EXTRA_CA_FILE`).

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::process::run_dir;

/// A certificate and its key.
pub struct Certificate {
    pub pem: String,
    pub key_pem: String,
    pub der: Vec<u8>,
    pub key_der: Vec<u8>,
}

static RUN: LazyLock<(PathBuf, Certificate)> = LazyLock::new(|| {
    let ca_key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new(Vec::<String>::new()).expect("parameters");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "tikku test root");
    let file = run_dir().join("ca.pem");
    std::fs::write(&file, ca.self_signed(&ca_key).expect("a root").pem()).expect("a file");
    let key = rcgen::KeyPair::generate().expect("a key");
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("parameters");
    let leaf = leaf.signed_by(&key, &rcgen::Issuer::new(ca, ca_key)).expect("a certificate");
    let certificate = Certificate { pem: leaf.pem(), key_pem: key.serialize_pem(), der: leaf.der().to_vec(), key_der: key.serialize_der() };
    (file, certificate)
});

/// The authority's certificate, a PEM file.
pub fn ca_file() -> &'static Path {
    &RUN.0
}

/// The server certificate.
pub fn server() -> &'static Certificate {
    &RUN.1
}
