//! rustls configurations from PEM: one provider (ring), TLS 1.2 at least.
//!
//! The provider is passed to each builder rather than installed for the process: no global.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// What libpq 17 and servers 17 name themselves in ALPN ("Protocol Flow", manual 54.2.10).
const ALPN: &[u8] = b"postgresql";

/// Reads a certificate, which may be a chain, and its key.
///
/// # Errors
///
/// [`TlsError`]: tell the operator which file is wrong.
pub fn certified(certificate: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsError::Key)?;
    CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(TlsError::Refused)
}

/// Makes the configuration for connections from clients.
///
/// # Errors
///
/// [`TlsError::Refused`] when rustls and its provider don't fit together: a bug of ours.
pub fn server_config(certificate: Arc<Renewable>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Refused)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// A certificate that a reload can replace: connections made later see the new one.
#[derive(Debug)]
pub struct Renewable(RwLock<Arc<CertifiedKey>>);

impl Renewable {
    /// Starts with this certificate.
    #[must_use]
    pub const fn new(certificate: Arc<CertifiedKey>) -> Self {
        Self(RwLock::new(certificate))
    }

    /// Shows this certificate from now on.
    pub fn renew(&self, certificate: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }
}

impl ResolvesServerCert for Renewable {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Makes the configuration that believes any server: encrypted, yet not authenticated.
///
/// That is what libpq's `prefer` and `require` mean: they stop who listens, not who intervenes.
///
/// # Errors
///
/// [`TlsError::Refused`] when rustls and its provider don't fit together: a bug of ours.
pub fn unverified() -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = AnyCertificate { provider: provider() };
    let config = client_builder()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(with_alpn(config)))
}

/// Makes the configuration that believes servers whose certificate leads to a root in `ca`.
///
/// # Errors
///
/// [`TlsError`]: tell the operator what is wrong with the file.
pub fn verified(ca: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(ca)? {
        roots.add(root).map_err(TlsError::Refused)?;
    }
    let config = client_builder()?.with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(with_alpn(config)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn client_builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, TlsError>
{
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Refused)
}

fn with_alpn(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(TlsError::Certificate)?;
    if chain.is_empty() { Err(TlsError::Certificate(pem::Error::NoItemsFound)) } else { Ok(chain) }
}

/// Why files can't be used for TLS.
#[derive(Debug)]
pub enum TlsError {
    /// No PEM certificate.
    Certificate(pem::Error),
    /// No PEM private key.
    Key(pem::Error),
    /// Read, but not usable: a key of another certificate, an unknown algorithm.
    Refused(Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(cause) => write!(f, "not a PEM certificate: {cause}"),
            Self::Key(cause) => write!(f, "not a PEM private key: {cause}"),
            Self::Refused(cause) => write!(f, "can't be used: {cause}"),
        }
    }
}

impl std::error::Error for TlsError {}

/// Takes any certificate, yet insists that the peer holds its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
