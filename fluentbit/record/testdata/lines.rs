// Writes what a Rust service logs with the JSON format of tracing-subscriber 0.3
// (features: json), in the forms that services of Nova use, a file for each.
use std::fs::File;
use std::sync::Mutex;
use tracing::{error, field, info, info_span, span, trace, warn, Level};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::fmt::format::JsonFields;

#[derive(Debug)]
#[allow(dead_code)]
struct User {
    id: u64,
    name: &'static str,
}

fn events() {
    info!("started");
    info!(port = 8080, secure = true, ratio = 0.25, "listening on {}", "0.0.0.0");
    info!(user = ?User { id: 7, name: "Ana \"A\" \\ ü" }, display = %"shown", "user signed in");
    warn!(missing = field::Empty, not_a_number = f64::NAN, big = i128::MAX, small = -3, "odd values");
    let failed = std::io::Error::new(std::io::ErrorKind::Other, "connection refused");
    error!(error = &failed as &(dyn std::error::Error + 'static), "request failed");
    info!(level = "user's level", target = "user's target", timestamp = 12, span = "user's span", "fields with names of the subscriber's");
    info!(message = "the message as a field", http.response.status_code = 503);
    error!(monotonic_counter.http_server_errors_total = 2, "counted by the metrics layer");
    warn!(rpc.grpc.status_code = 14, otel.kind = "client", "call to content-service failed");
    warn!(peer = "redis-0:6379", "command timed out after 2s");
    info!(answer = 42);
    trace!(target: "h2::codec", "frame=Data");
    let request = info_span!("request", trace_id = "4bf92f3577b34da6a3ce929d0e0e4736", span_id = "00f067aa0ba902b7", method = "GET", path = "/users/7");
    let _request = request.enter();
    info!("in one span");
    let query = span!(Level::INFO, "query", span_id = "53995c3f42cd8ad8", rows = field::Empty);
    query.record("rows", 3);
    let _query = query.enter();
    info!(elapsed_ms = 1.5, "in two spans");
    error!("tab\tnew line\nquote \" backslash \\ null \0 bell \u{7} smile \u{1F600}");
    info!(trace_id = "4bf92f3577b34da6a3ce929d0e0e4736", span_id = "1111111111111111", "ids in the event");
}

macro_rules! form {
    ($name:literal, $builder:expr) => {{
        let file = File::create(concat!("testdata/", $name, ".log")).unwrap();
        let subscriber = $builder.with_max_level(Level::TRACE).with_writer(Mutex::new(file)).finish();
        tracing::subscriber::with_default(subscriber, events);
    }};
}

fn main() {
    let json = || tracing_subscriber::fmt().json();
    form!("nested", json());
    form!("flattened", json().flatten_event(true));
    form!("flattened-bare", json().flatten_event(true).with_current_span(false).with_span_list(false).without_time());
    form!("located", json().with_file(true).with_line_number(true).with_thread_ids(true).with_thread_names(true).flatten_event(true));
    form!("span-events", json().with_span_events(FmtSpan::FULL).with_target(false));
    form!("text", tracing_subscriber::fmt().with_ansi(false).fmt_fields(JsonFields::new()));
    form!("text-ansi", tracing_subscriber::fmt());
}
