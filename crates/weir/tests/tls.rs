//! Certificates: wrong pairs are found out, renewed ones are shown without a restart.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use weir::tls::{Renewable, TlsError, certified, server_config, unverified, verified};

// `cfg(test)` is always true here; clippy takes helpers below it for test code.
#[cfg(test)]
mod given {
    use super::*;

    pub(crate) struct Pem {
        pub(crate) certificate: String,
        pub(crate) key: String,
    }

    pub(crate) fn self_signed() -> Pem {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Pem { certificate: cert.pem(), key: signing_key.serialize_pem() }
    }

    /// Shakes hands over an in-memory pipe; gives the certificate that the client was shown.
    pub(crate) async fn shake(
        server: Arc<rustls::ServerConfig>,
        client: Arc<rustls::ClientConfig>,
    ) -> std::io::Result<Vec<u8>> {
        let (here, there) = tokio::io::duplex(16 * 1024);
        let accepted = TlsAcceptor::from(server).accept(there);
        let name = ServerName::try_from("localhost").unwrap();
        let connected = TlsConnector::from(client).connect(name, here);
        let (_, connected) = tokio::join!(accepted, connected);
        let stream = connected?;
        Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    }
}

use given::{self_signed, shake};

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, two) = (self_signed(), self_signed());
    assert!(certified(one.certificate.as_bytes(), one.key.as_bytes()).is_ok());
    let refused = certified(one.certificate.as_bytes(), two.key.as_bytes());
    assert!(matches!(refused, Err(TlsError::Refused(_))), "{refused:?}");
}

#[test]
fn swapped_files_say_which_one_is_wrong() {
    let one = self_signed();
    let swapped = certified(one.key.as_bytes(), one.certificate.as_bytes());
    assert!(matches!(swapped, Err(TlsError::Certificate(_))), "{swapped:?}");
    let no_key = certified(one.certificate.as_bytes(), one.certificate.as_bytes());
    assert!(matches!(no_key, Err(TlsError::Key(_))), "{no_key:?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_connection() {
    let (old, new) = (self_signed(), self_signed());
    let read =
        |pem: &given::Pem| certified(pem.certificate.as_bytes(), pem.key.as_bytes()).unwrap();
    let shown = Arc::new(Renewable::new(read(&old)));
    let server = server_config(Arc::clone(&shown)).unwrap();
    let first = shake(Arc::clone(&server), unverified().unwrap()).await.unwrap();
    shown.renew(read(&new));
    let second = shake(server, unverified().unwrap()).await.unwrap();
    assert_ne!(first, second);
}

#[tokio::test]
async fn verification_takes_a_known_root_and_refuses_another() {
    let (known, other) = (self_signed(), self_signed());
    let pair = certified(known.certificate.as_bytes(), known.key.as_bytes()).unwrap();
    let server = server_config(Arc::new(Renewable::new(pair))).unwrap();
    let trusting = verified(known.certificate.as_bytes()).unwrap();
    assert!(shake(Arc::clone(&server), trusting).await.is_ok());
    let wary = verified(other.certificate.as_bytes()).unwrap();
    assert!(shake(server, wary).await.is_err());
}
