//! Opening the stream that carries a connection: TCP, TLS over TCP, or a Unix socket.

use std::fmt;
use std::io;
use std::sync::Arc;

use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::SockRef;
use redis::{ConnectionAddr, ConnectionInfo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

/// Said of a server that breaks off a TLS handshake, or does not answer it.
const PERHAPS_PLAIN: &str = "a server without TLS does this: write redis:// in place of rediss://";

/// Said of a server that closes a plain connection before it says a word.
pub(super) const PERHAPS_TLS: &str = "a server that speaks only TLS does this: write rediss:// in place of redis://";

/// A stream of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens a stream to the server. Errors: the reason why there is none before `deadline`, for a person to read.
pub(super) async fn open(info: &ConnectionInfo, deadline: Instant) -> Result<Box<dyn Stream>, String> {
    let in_time = |answer: Result<io::Result<TcpStream>, _>| match answer {
        Ok(opened) => opened.map_err(|error| error.to_string()),
        Err(_elapsed) => Err("no answer to the attempt to connect".to_owned()),
    };
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => {
            let stream = in_time(timeout_at(deadline, tcp(host, *port, info.tcp_settings())).await)?;
            Ok(Box::new(stream))
        }
        ConnectionAddr::TcpTls { host, port, insecure, .. } => {
            let stream = in_time(timeout_at(deadline, tcp(host, *port, info.tcp_settings())).await)?;
            match timeout_at(deadline, tls(stream, host, *insecure)).await {
                Ok(opened) => opened,
                Err(_elapsed) => Err(format!("no answer to the TLS handshake ({PERHAPS_PLAIN})")),
            }
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => match tokio::net::UnixStream::connect(path).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(error.to_string()),
        },
        other => Err(format!("{other} is no address that this program can connect to")),
    }
}

/// Connects to all addresses of the host at once and takes the first that answers.
async fn tcp(host: &str, port: u16, settings: &TcpSettings) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for address in tokio::net::lookup_host((host, port)).await? {
        attempts.spawn(TcpStream::connect(address));
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    while let Some(ended) = attempts.join_next().await {
        match ended.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(stream) => return arm(&stream, settings).map(|()| stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Arms a stream against a server that vanishes without a word.
fn arm(stream: &TcpStream, settings: &TcpSettings) -> io::Result<()> {
    stream.set_nodelay(settings.nodelay())?;
    let socket = SockRef::from(stream);
    if let Some(keepalive) = settings.keepalive() {
        socket.set_tcp_keepalive(keepalive)?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(settings.user_timeout())?;
    Ok(())
}

/// Speaks TLS on a stream.
async fn tls(stream: TcpStream, host: &str, insecure: bool) -> Result<Box<dyn Stream>, String> {
    let config = if insecure { trusting_anybody() } else { trusting_roots() };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
    match TlsConnector::from(Arc::new(config?)).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(why_no_tls(&error)),
    }
}

fn why_no_tls(error: &io::Error) -> String {
    let refusal = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match (refusal, error.kind()) {
        (Some(rustls::Error::InvalidMessage(_)), _) => {
            "the server does not speak TLS: write redis:// in place of rediss:// (--redis, REDIS_URL)".to_owned()
        }
        (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            format!("the server broke off the TLS handshake ({PERHAPS_PLAIN})")
        }
        _ => error.to_string(),
    }
}

/// Trusts the roots of the system, or those that `SSL_CERT_FILE` names.
fn trusting_roots() -> Result<ClientConfig, String> {
    let found = rustls_native_certs::load_native_certs();
    if let Some(error) = found.errors.into_iter().next_back() {
        return Err(format!("the roots of trust cannot be read: {error}"));
    }
    let mut roots = RootCertStore::empty();
    for root in found.certs {
        roots.add(root).map_err(|error| format!("a root of trust cannot be used: {error}"))?;
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Trusts anybody, as `#insecure` at the end of a URL asks for.
fn trusting_anybody() -> Result<ClientConfig, String> {
    let provider = CryptoProvider::get_default().ok_or("there is no TLS provider")?;
    let anybody = Anybody(provider.signature_verification_algorithms);
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(anybody));
    Ok(config.with_no_client_auth())
}

/// Verifies that a server holds the key of its certificate, and nothing else.
struct Anybody(WebPkiSupportedAlgorithms);

impl fmt::Debug for Anybody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Anybody")
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
