//! A certificate for HTTPS: a certificate authority that is created at each start, and a certificate for the
//! names and addresses of the origin.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use hls_swarm_base::error::Failure;

use crate::nginx::conf::{CERTIFICATE, CERTIFICATE_KEY};

/// File name of the certificate of the authority, which viewers must trust.
const AUTHORITY: &str = "ca.pem";

/// Creates both in `directory`, and returns the path of the authority's certificate.
pub(crate) fn create(directory: &Path, listen: IpAddr) -> Result<PathBuf, Failure> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::internal("cannot create a certificate").caused_by(error).help("pass --tls=false")
    };
    let (authority, chain, key) = issue(listen).map_err(|error| failed(error.into()))?;
    let path = directory.join(AUTHORITY);
    std::fs::write(&path, authority)
        .and_then(|()| std::fs::write(directory.join(CERTIFICATE), chain))
        // nginx's master process reads it before the workers drop root privileges.
        .and_then(|()| write_private(&directory.join(CERTIFICATE_KEY), &key))
        .map_err(|error| failed(error.into()))?;
    Ok(path)
}

/// The authority's certificate, the origin's certificate followed by the authority's, and the origin's key, all
/// in PEM.
fn issue(listen: IpAddr) -> Result<(String, String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "hls-origin temporary CA");
    let authority_key = KeyPair::generate()?;
    let authority = params.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(params, authority_key);

    let mut names =
        vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
    if !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    // Other machines use the host name, if it is valid in a certificate.
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    names.extend(
        host.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))),
    );
    names.sort();
    names.dedup();
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name.push(DnType::CommonName, "hls-origin");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let leaf = leaf.signed_by(&key, &issuer)?.pem();
    let chain = format!("{leaf}{authority}");
    Ok((authority, chain, key.serialize_pem()))
}

fn write_private(file: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}
