//! The accept loop: HTTP/1.1 only, every wait bounded, optional TLS.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use chain_core::code::{Code, Refusal};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::timed::TimedWrites;
use super::{Api, Limits, TlsFiles};

/// Pause after the system refused to accept, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Accepts until told to stop, then lets running requests end for `grace`.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    api: Arc<Api>,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(api.limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, socket) = tokio::select! {
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accepted => match accepted {
                (Ok(permit), Ok((socket, _))) => (permit, socket),
                (_, Err(error)) => {
                    tracing::warn!(%error, "cannot accept HTTP connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
                (Err(_), _) => break,
            },
        };
        api.counters.connections.fetch_add(1, Ordering::Relaxed);
        let (tls, router, limits, stop) = (tls.clone(), router.clone(), api.limits, stop.clone());
        connections.spawn(async move {
            if let Err(error) = connection(socket, tls, router, limits, stop).await {
                tracing::debug!(%error, "HTTP connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    let grace = api.limits.grace;
    let _ = tokio::time::timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
    connections.shutdown().await;
}

/// Resolves when the server is told to stop, or its owner is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

async fn connection(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = TimedWrites::new(socket, limits.write_time);
    match tls {
        None => http(socket, router, limits, stop).await,
        Some(tls) => {
            let handshake = tokio::time::timeout(limits.header_time, tls.accept(socket));
            http(handshake.await??, router, limits, stop).await
        }
    }
}

async fn http<S>(socket: S, router: Router, limits: Limits, mut stop: watch::Receiver<bool>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(64)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    tokio::select! {
        result = served.as_mut() => return result.map_err(io::Error::other),
        () = stopped(&mut stop) => {}
    }
    served.as_mut().graceful_shutdown();
    served.await.map_err(io::Error::other)
}

/// Reads certificate chain and key for TLS 1.2 and 1.3.
pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, Refusal> {
    let invalid =
        |path: &Path, why: String| Refusal::new(Code::ConfigInvalid, format!("{}: {why}", path.display()));
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| invalid(&files.certificate, error.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| invalid(&files.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| invalid(&files.certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
