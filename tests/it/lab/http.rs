//! An HTTP server that answers as a test wants it: with what, late, never, or not at all.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::ground::runtime;

/// A request, read to its end.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What becomes of it.
pub enum Reply {
    Answer(Response<String>),
    /// The connection stays and nothing is ever said.
    Silence,
    /// The connection is closed without a word.
    Close,
}

/// Serves on a port of 127.0.0.1, which is told, as long as this process lives.
pub fn serve(answer: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> u16 {
    let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    runtime().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request| respond(Arc::clone(&answer), request));
            // A connection that ends early, or is ended by `Close`, is no error of ours.
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    port
}

async fn respond(
    answer: Arc<impl Fn(Asked) -> Reply>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Closed> {
    let (head, body) = request.into_parts();
    let asked = Asked {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: to_bytes(Body::new(body), 1 << 20).await.map_err(|_| Closed)?,
    };
    match answer(asked) {
        Reply::Answer(response) => Ok(response.map(Body::from)),
        Reply::Silence => std::future::pending().await,
        Reply::Close => Err(Closed),
    }
}

/// Makes hyper close a connection.
#[derive(Debug, thiserror::Error)]
#[error("closed by the test")]
struct Closed;
