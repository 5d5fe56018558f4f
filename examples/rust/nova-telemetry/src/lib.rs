//! Instruments a service of Nova: traces by OTLP, JSON logs with trace ids, the P0
//! counters, `/health`, `/ready` and a shutdown that loses no span.
//!
//! ```no_run
//! # async fn handlers() -> axum::Router { axum::Router::new() }
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let telemetry = nova_telemetry::init();
//!     nova_telemetry::serve("0.0.0.0:8080", handlers().await, telemetry).await
//! }
//! ```
//!
//! The environment that Novawire injects decides everything about export:
//! `OTEL_EXPORTER_OTLP_ENDPOINT` turns it on, and the other variables of OpenTelemetry
//! (protocol, service name, resource attributes, sampler, propagators) have their
//! specified meaning. Nothing about a deployment is written in code.

pub mod client;
mod logs;
mod metrics;
mod server;

use std::env;
use std::time::Duration;

use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{info, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

pub use metrics::{register_service_metrics, registry};
pub use server::serve;

/// How long a flush may take at the end. With the time that requests have to finish
/// (`server::DRAIN`) it stays below Kubernetes' default grace period of 30 s.
const FLUSH: Duration = Duration::from_secs(5);

/// What [`init`] started. [`serve`] takes it and flushes it at the end.
#[must_use = "spans that are not flushed are lost: pass it to serve, or call shutdown"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Starts logs, traces and metrics. Call it once, inside the Tokio runtime, before
/// anything else: the gRPC exporter uses the runtime.
///
/// Without an endpoint in the environment nothing is recorded, propagated or exported,
/// and one log line says so.
pub fn init() -> Telemetry {
    let started = exporter();
    let provider = started.as_ref().ok().cloned();
    // A layer of None costs nothing. Spans are recorded from INFO on, whatever RUST_LOG
    // says about lines: a quiet log must not cut traces into pieces.
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("nova-telemetry"))
            .with_location(false) // file, line and thread of each span: bytes that nobody reads
            .with_threads(false)
            .with_filter(LevelFilter::INFO)
    });
    // As RUST_LOG says, for example "info,user_service=debug".
    let level = env::var("RUST_LOG").unwrap_or_default();
    let lines = level.parse().ok().filter(|_| !level.is_empty());
    let lines = lines.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    tracing_subscriber::registry().with(spans).with(logs::layer().with_filter(lines)).init();
    register_service_metrics();
    match started {
        Ok(_) => {
            // The SDK does not read this variable; its default is W3C's headers.
            let names = env::var("OTEL_PROPAGATORS").unwrap_or_default();
            opentelemetry::global::set_text_map_propagator(propagator(&names));
        }
        Err(reason) => info!("traces are not exported: {reason}"),
    }
    Telemetry { provider }
}

/// Builds what records and exports spans, or says why not.
fn exporter() -> Result<SdkTracerProvider, String> {
    let set = |name: &str| env::var(name).is_ok_and(|value| !value.is_empty());
    if env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err("OTEL_SDK_DISABLED is true".into());
    }
    if !set("OTEL_EXPORTER_OTLP_ENDPOINT") && !set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        return Err("OTEL_EXPORTER_OTLP_ENDPOINT is not set".into());
    }
    // The builder reads endpoint and protocol from the environment, the provider the
    // sampler, the resource OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
    let exporter = opentelemetry_otlp::SpanExporter::builder().build().map_err(|error| error.to_string())?;
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(Resource::builder().build()).build())
}

fn propagator(names: &str) -> TextMapCompositePropagator {
    let names = if names.is_empty() { "tracecontext,baggage" } else { names };
    let mut chosen: Vec<Box<dyn TextMapPropagator + Send + Sync>> = Vec::new();
    for name in names.split(',').map(str::trim) {
        match name {
            "tracecontext" => chosen.push(Box::new(TraceContextPropagator::new())),
            "baggage" => chosen.push(Box::new(BaggagePropagator::new())),
            "none" => {}
            _ => warn!("OTEL_PROPAGATORS: {name} is unknown, allowed are tracecontext, baggage and none"),
        }
    }
    TextMapCompositePropagator::new(chosen)
}

impl Telemetry {
    /// Exports what is buffered, for at most five seconds. [`serve`] calls it; a program
    /// that serves nothing, for example a migration, calls it at its end.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else { return };
        // The exporter needs the runtime's threads, so the wait is on another one.
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH)).await;
        if let Ok(Err(error)) = flushed {
            warn!("spans may be lost: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
