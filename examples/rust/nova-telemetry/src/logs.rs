//! Log lines: the JSON of `tracing-subscriber` on stdout, one object a line, with the
//! ids of the current trace and span in front. Novawire's Fluent Bit plugin indexes
//! `trace_id` and `span_id`, so a trace leads to its lines and a line to its trace.

use std::fmt;

use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::{Event, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

/// The layer that prints lines.
pub fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    // The list of all enclosing spans repeats the current one.
    let json = Format::default().json().with_span_list(false);
    tracing_subscriber::fmt::layer().fmt_fields(JsonFields::new()).event_format(WithTrace(json))
}

struct WithTrace(Format<Json>);

impl<S> FormatEvent<S, JsonFields> for WithTrace
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let current = current();
        match line.strip_prefix('{') {
            Some(rest) if current.is_valid() => {
                let (trace, span) = (current.trace_id(), current.span_id());
                write!(writer, r#"{{"trace_id":"{trace}","span_id":"{span}",{rest}"#)
            }
            _ => writer.write_str(&line),
        }
    }
}

/// The identity of the current span; invalid if nothing is traced. It does not depend on
/// the log's own filter: a log of warnings has ids too.
pub fn current() -> SpanContext {
    Span::current().context().span().span_context().clone()
}
