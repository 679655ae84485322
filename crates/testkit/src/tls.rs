//! Certificates for one cluster's servers.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::error::Error;
use crate::user::ServerUser;

/// Writes `ca.pem`, `server.pem` and `server.key` into `folder`.
///
/// The server's certificate is good for `localhost` and 127.0.0.1.
pub(crate) fn make(folder: &Path, user: &ServerUser) -> Result<(), Error> {
    user.make_folder(folder)?;
    let (ca, server, key) = certificates().map_err(Error::Certificate)?;
    user.write(&folder.join("ca.pem"), &ca)?;
    user.write(&folder.join("server.pem"), &server)?;
    user.write(&folder.join("server.key"), &key)
}

fn certificates() -> Result<(String, String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "testkit CA");
    let ca_key = KeyPair::generate()?;
    let ca = params.self_signed(&ca_key)?;

    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &Issuer::new(params, ca_key))?;
    Ok((ca.pem(), certificate.pem(), key.serialize_pem()))
}
