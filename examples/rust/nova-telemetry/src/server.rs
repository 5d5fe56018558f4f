//! The server side: a span, a log line and a count for each request, the paths that
//! Kubernetes and Prometheus ask, and the end of the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Router, routing::get};
use opentelemetry::global::get_text_map_propagator;
use opentelemetry_http::HeaderExtractor;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::field::Empty;
use tracing::{Instrument, info, info_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::Telemetry;
use crate::metrics::{count, counters, exposition};

/// Between SIGTERM and the end of new connections: Kubernetes needs a moment to take the
/// pod out of its Services, and until then requests still arrive. SHUTDOWN_DELAY is
/// another number of seconds.
const LEAVE: u64 = 2;

/// How long requests may take to finish after that.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves `app` with telemetry until SIGTERM, then finishes requests and flushes spans.
/// HTTP/1, HTTP/2 and gRPC share the port, with `/metrics`, `/health` and `/ready`.
pub async fn serve(address: &str, app: Router, telemetry: Telemetry) -> io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.map_err(|error| io::Error::new(error.kind(), format!("listen on {address}: {error}")))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let delay = std::env::var("SHUTDOWN_DELAY").unwrap_or_default();
    let delay = Duration::from_secs(delay.parse().unwrap_or_else(|_| {
        if !delay.is_empty() {
            warn!("SHUTDOWN_DELAY: {delay:?} is no number of seconds, {LEAVE} is used");
        }
        LEAVE
    }));
    let leaving = Arc::new(AtomicBool::new(false));
    let closed = Arc::new(Notify::new());
    // In this order: what no route matches goes to the second router's fallback, observed.
    let app = status(leaving.clone()).merge(app.layer(from_fn(observe)));
    let stop = {
        let closed = closed.clone();
        async move {
            terminate.recv().await;
            info!("SIGTERM: finishing requests");
            leaving.store(true, Ordering::Relaxed);
            tokio::time::sleep(delay).await;
            closed.notify_one();
        }
    };
    let overdue = async {
        closed.notified().await;
        tokio::time::sleep(DRAIN).await;
    };
    info!("listening on {address}");
    tokio::select! {
        ended = axum::serve(listener, app).with_graceful_shutdown(stop) => ended?,
        () = overdue => warn!("requests are aborted: they took more than {} s after SIGTERM", DRAIN.as_secs()),
    }
    telemetry.shutdown().await;
    Ok(())
}

/// Paths that are asked every few seconds and are worth neither a span nor a line.
/// `/ready` says whether this process takes requests, not whether its dependencies work:
/// if all replicas left because PostgreSQL is down, nobody would answer with an error.
fn status(leaving: Arc<AtomicBool>) -> Router {
    let ready = async move || match leaving.load(Ordering::Relaxed) {
        true => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
        false => (StatusCode::OK, "ready\n"),
    };
    Router::new().route("/health", get(async || "ok\n")).route("/ready", get(ready)).route("/metrics", get(exposition))
}

/// Wraps one request. The names of attributes are OpenTelemetry's semantic conventions;
/// `otel.*` are the words of tracing-opentelemetry for parts of the span.
async fn observe(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    // A gRPC method is its path. For HTTP the route is the name, not the path, which has
    // as many values as there are users.
    let is_grpc =
        request.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let name = match (is_grpc, &route) {
        (true, _) => path.trim_start_matches('/').to_owned(),
        (false, Some(route)) => format!("{method} {route}"),
        (false, None) => method.to_string(),
    };
    let span = info_span!(
        "request", otel.name = name, otel.kind = "server", otel.status_code = Empty,
        http.request.method = %method, http.route = route, url.path = path,
        http.response.status_code = Empty, rpc.system = is_grpc.then_some("grpc"), rpc.grpc.status_code = Empty,
    );
    // The caller's span becomes the parent. Without export there is nobody to tell.
    let parent = get_text_map_propagator(|propagator| propagator.extract(&HeaderExtractor(request.headers())));
    let _ = span.set_parent(parent);
    let began = Instant::now();
    async {
        let response = next.run(request).await;
        let status = response.status();
        let span = tracing::Span::current();
        span.record("http.response.status_code", status.as_u16());
        if let Some(code) = response.headers().get("grpc-status").and_then(|code| code.to_str().ok()) {
            span.record("rpc.grpc.status_code", code);
        }
        count(&counters().http_requests);
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
            count(&counters().http_errors);
        }
        // One line a request; the plugin counts its status for the CloudWatch alarms.
        info!(http.response.status_code = status.as_u16(), duration_ms = began.elapsed().as_millis() as u64, "{name}");
        response
    }
    .instrument(span)
    .await
}
