//! The client side: each function makes one call with a span, W3C headers and a count.

use std::future::Future;

use axum::http::HeaderMap;
use opentelemetry::global::get_text_map_propagator;
use opentelemetry_http::HeaderInjector;
use redis::RedisResult;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::metrics::{count, counters};

/// Sends an HTTP request of `reqwest`.
pub async fn http(request: reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response> {
    let (client, request) = request.build_split();
    let mut request = request?;
    let span = info_span!(
        "http",
        otel.name = request.method().as_str(),
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = request.method().as_str(),
        url.path = request.url().path(),
        server.address = request.url().host_str(),
        http.response.status_code = Empty,
    );
    request.headers_mut().extend(headers(&span));
    let result = client.execute(request).instrument(span.clone()).await;
    let status = result.as_ref().map_or(0, |response| response.status().as_u16());
    span.record("http.response.status_code", status);
    if !(1..400).contains(&status) {
        span.record("otel.status_code", "ERROR");
    }
    result
}

/// Makes a unary gRPC call of `tonic`: `grpc("content.v1.Content/List", message, async
/// move |request| client.list(request).await)`. Each status but OK counts as an error.
pub async fn grpc<M, R, F>(method: &'static str, message: M, call: impl FnOnce(Request<M>) -> F) -> Result<R, Status>
where
    F: Future<Output = Result<Response<R>, Status>>,
{
    let span = info_span!(
        "grpc",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.method = method,
        rpc.grpc.status_code = Empty,
    );
    let mut request = Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(headers(&span));
    let result = call(request).instrument(span.clone()).await;
    let code = result.as_ref().err().map_or(Code::Ok, Status::code) as i32;
    span.record("rpc.grpc.status_code", code);
    span.in_scope(|| count(&counters().grpc_requests));
    if let Err(status) = &result {
        span.record("otel.status_code", "ERROR");
        span.in_scope(|| count(&counters().grpc_errors));
        // Outside of the span, whose fields would be counted a second time.
        warn!(rpc.grpc.status_code = code, "{method}: {}", status.message());
    }
    result.map(Response::into_inner)
}

/// Awaits a Redis command. What Redis did not answer counts in `redis_timeout_total`,
/// whether the time limit passed or the connection was refused or lost: the caller had
/// to do without in each case. An error that Redis answered does not.
pub async fn redis<T>(command: &'static str, call: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let span = info_span!(
        "redis",
        otel.name = command,
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "redis",
        db.operation.name = command,
    );
    let result = call.instrument(span.clone()).await;
    if let Err(error) = &result {
        span.record("otel.status_code", "ERROR");
        if error.is_io_error() || error.is_timeout() {
            span.in_scope(|| count(&counters().redis_timeouts));
            warn!(redis_timeout_total = 1, "redis: no answer to {command}: {error}");
        }
    }
    result
}

/// The headers that make the span the parent of what the other side does.
fn headers(span: &Span) -> HeaderMap {
    let mut headers = HeaderMap::new();
    get_text_map_propagator(|propagator| {
        propagator.inject_context(&span.context(), &mut HeaderInjector(&mut headers));
    });
    headers
}
