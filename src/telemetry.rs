//! Traces over OTLP: a span for each reconcile, with a child for each request to FIC and Keystone.
//!
//! Off without `--otlp-endpoint`; a span then costs a comparison. Its fields are names and ids. A header, a body or a secret
//! is never one.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use reqwest::{Certificate, Client, Url};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::proxy::Proxies;

/// The target of the spans that are exported. They are not part of a log line.
pub const TARGET: &str = "fic_support_operator::telemetry";

/// How many spans wait for the Collector at most, about 0.5 MB. Further ones are dropped: a Collector that does not answer
/// must cost neither memory nor time.
const MAX_QUEUE_SIZE: usize = 512;
const MAX_BATCH_SIZE: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the shutdown waits for the last spans. The operator shuts down within 10 s.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Exports spans to an OpenTelemetry Collector.
pub struct Exporter {
    provider: SdkTracerProvider,
}

impl Exporter {
    /// An exporter to the Collector with this base URL. It sends on the runtime of the caller.
    ///
    /// # Errors
    /// When the HTTP client cannot be created, or the SDK does not accept the endpoint.
    pub fn new(endpoint: &Url, roots: Vec<Certificate>, proxies: Proxies) -> Result<Self, ExporterError> {
        let client = proxies.client(roots).timeout(TIMEOUT).build().map_err(ExporterError::Client)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector { client, runtime: Handle::current() })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()
            .map_err(ExporterError::Sdk)?;
        let limits = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_QUEUE_SIZE)
            .with_max_export_batch_size(MAX_BATCH_SIZE)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(limits).build();
        let provider = SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource()).build();
        Ok(Self { provider })
    }

    /// Passes the spans of the operator on to the exporter.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(crate::NAME))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.target() == TARGET))
    }

    /// Sends the last spans.
    pub async fn shut_down(self) {
        // The SDK waits with its thread for requests that this runtime sends.
        let _ = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT)).await;
    }
}

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// The HTTP client cannot be created.
    #[error("cannot create the client of the OpenTelemetry Collector: {0}")]
    Client(#[source] reqwest::Error),
    /// The SDK does not accept the configuration.
    #[error("cannot create the exporter of traces: {0}")]
    Sdk(#[source] ExporterBuildError),
}

/// What identifies this process among others, by the semantic conventions of OpenTelemetry.
fn resource() -> Resource {
    let pod = [("POD_NAME", "k8s.pod.name"), ("POD_NAMESPACE", "k8s.namespace.name")];
    let pod = pod.into_iter().filter_map(|(variable, key)| Some(KeyValue::new(key, std::env::var(variable).ok()?)));
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    Resource::builder().with_service_name(crate::NAME).with_attributes(pod.chain([version])).build()
}

/// Sends requests to the Collector on the runtime of the operator. The SDK calls it in a thread of its own.
struct Collector {
    client: Client,
    runtime: Handle,
}

impl fmt::Debug for Collector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Collector")
    }
}

impl HttpClient for Collector {
    fn send_bytes<'client, 'future>(
        &'client self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'future, Result<http::Response<Bytes>, HttpError>>
    where
        'client: 'future,
        Self: 'future,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let response = client.execute(request.try_into()?).await?;
            let mut answer = http::Response::new(Bytes::new());
            *answer.status_mut() = response.status();
            *answer.headers_mut() = response.headers().clone();
            // Its body could say which spans the Collector refuses. Nobody would read that.
            Ok::<_, reqwest::Error>(answer)
        });
        async move { Ok(sent.await??) }.boxed()
    }
}
