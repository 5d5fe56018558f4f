//! What can be tested inside of one process; `examples/rust_test.go` tests the services.

use std::io::{Error, ErrorKind};

use opentelemetry::propagation::TextMapPropagator;
use redis::RedisError;
use tonic::{Request, Response, Status};

use crate::metrics::{counters, exposition};
use crate::{client, propagator, register_service_metrics, registry};

#[test]
fn propagators_are_those_of_the_variable() {
    for (names, want) in [
        ("", "baggage traceparent tracestate"),
        ("tracecontext,baggage", "baggage traceparent tracestate"),
        ("tracecontext", "traceparent tracestate"),
        (" baggage ", "baggage"),
        ("none", ""),
        ("b3", ""),
        ("b3,tracecontext", "traceparent tracestate"),
    ] {
        let chosen = propagator(names);
        let mut headers: Vec<_> = chosen.fields().collect();
        headers.sort_unstable();
        assert_eq!(headers.join(" "), want, "OTEL_PROPAGATORS={names:?}");
    }
}

#[tokio::test]
async fn counters_count_each_kind_of_failure_once() {
    register_service_metrics();
    register_service_metrics(); // further calls change nothing
    let (_, text) = exposition().await;
    for name in
        ["http_server_requests", "http_server_errors", "grpc_client_requests", "grpc_client_errors", "redis_timeout"]
    {
        assert_eq!(text.matches(&format!("\n{name}_total 0\n")).count(), 1, "{name} in:\n{text}");
    }

    let values = || {
        let counters = counters();
        (counters.grpc_requests.get().0, counters.grpc_errors.get().0, counters.redis_timeouts.get().0)
    };
    let answer =
        client::grpc("a.B/C", 7, async |request: Request<i32>| Ok(Response::new(request.into_inner() + 1))).await;
    assert_eq!((answer.unwrap(), values()), (8, (1, 0, 0)));
    let answer: Result<(), _> = client::grpc("a.B/C", 7, async |_| Err(Status::unavailable("gone"))).await;
    assert_eq!((answer.unwrap_err().message(), values()), ("gone", (2, 1, 0)));
    assert_eq!((client::redis("GET", async { Ok(3) }).await, values()), (Ok(3), (2, 1, 0)));
    for (kind, count) in [(ErrorKind::TimedOut, 1), (ErrorKind::ConnectionRefused, 2), (ErrorKind::BrokenPipe, 3)] {
        let lost = RedisError::from(Error::from(kind));
        assert!(client::redis::<()>("GET", async { Err(lost) }).await.is_err());
        assert_eq!(values(), (2, 1, count), "{kind:?}");
    }
    let refused = RedisError::from((redis::ErrorKind::Parse, "an answer"));
    assert!(client::redis::<()>("GET", async { Err(refused) }).await.is_err());
    assert_eq!(values(), (2, 1, 3), "an error that Redis answered is no timeout");

    let own = prometheus_client::metrics::gauge::Gauge::<i64>::default();
    registry().register("queue", "A metric of the service's own", own);
    let (_, text) = exposition().await;
    assert!(text.contains("\nqueue 0\n"), "{text}");
}
