//! The P0 counters of Nova's services. Alerts and dashboards of package `monitoring`
//! use exactly these names; Prometheus adds the labels `namespace`, `service` and `pod`.

use std::fs::read_to_string;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType::{Counter as Total, Gauge};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::exemplar::CounterWithExemplar;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::logs::current;

/// A counter whose last increment names its trace.
type Counter = CounterWithExemplar<[(&'static str, String); 1]>;

#[derive(Default)]
pub struct Counters {
    pub http_requests: Counter,
    pub http_errors: Counter,
    pub grpc_requests: Counter,
    pub grpc_errors: Counter,
    pub redis_timeouts: Counter,
}

/// Adds one, with the current trace as exemplar if it is exported.
pub fn count(counter: &Counter) {
    let span = current();
    counter.inc_by(1, span.is_sampled().then(|| [("trace_id", span.trace_id().to_string())]), None);
}

/// The registry behind `/metrics`, for metrics of the service's own.
pub fn registry() -> MutexGuard<'static, Registry> {
    static REGISTRY: OnceLock<Mutex<Registry>> = OnceLock::new();
    let registry = REGISTRY.get_or_init(Default::default);
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn counters() -> &'static Counters {
    static COUNTERS: OnceLock<Counters> = OnceLock::new();
    COUNTERS.get_or_init(|| {
        let counters = Counters::default();
        let mut registry = registry();
        // The text format appends _total to the name of a counter.
        for (name, help, counter) in [
            ("http_server_requests", "HTTP and gRPC requests that this service answered", &counters.http_requests),
            ("http_server_errors", "Requests that were answered with a status of 500 or more", &counters.http_errors),
            ("grpc_client_requests", "gRPC calls to other services", &counters.grpc_requests),
            ("grpc_client_errors", "gRPC calls whose status was not OK", &counters.grpc_errors),
            (
                "redis_timeout",
                "Redis commands without an answer: time limit, connection refused or lost",
                &counters.redis_timeouts,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register_collector(Box::new(Process));
        counters
    })
}

/// Processor time and memory, under the names of Prometheus' own client libraries.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        // proc(5): utime and stime follow 11 fields after the name, in hundredths.
        let stat = read_to_string("/proc/self/stat").unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let time = encoder.encode_descriptor("process_cpu", "Processor time", Some(&Unit::Seconds), Total)?;
        ConstCounter::new(ticks as f64 / 100.0).encode(time)?;
        let status = read_to_string("/proc/self/status").unwrap_or_default();
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse().ok());
        let memory = encoder.encode_descriptor("process_resident_memory", "Memory", Some(&Unit::Bytes), Gauge)?;
        ConstGauge::new(resident.unwrap_or(0i64) * 1024).encode(memory)
    }
}

/// Registers the P0 counters at 0, so that the first error is an increase and not a new
/// series. [`crate::init`] calls it; further calls change nothing.
pub fn register_service_metrics() {
    counters();
}

/// The answer of `/metrics`, in OpenMetrics, the text format that has exemplars.
pub async fn exposition() -> ([(&'static str, &'static str); 1], String) {
    let mut text = String::new();
    encode(&mut text, &registry()).expect("a String takes everything");
    ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
