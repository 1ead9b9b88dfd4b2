//! A receiver of OTLP, over gRPC or HTTP: one request at a time, and what its answer means by the protocol's
//! specification.

use std::{env, time::Duration};

use bytes::Bytes;
use hyper::{StatusCode, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse, logs_service_client::LogsServiceClient},
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse, metrics_service_client::MetricsServiceClient,
        },
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics},
    resource::v1::Resource,
};
use prost::Message;
use rustix::system::uname;
use tokio::time::timeout;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tower::service_fn;

use crate::{
    agent::{address::connect, http},
    cli::agent::{Courier, Protocol},
    ident::escape,
};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Ports that the protocol has (IANA).
const GRPC: u16 = 4317;
const HTTP: u16 = 4318;
const PROTOBUF: &str = "application/x-protobuf";

/// What became of a request.
#[derive(Debug)]
pub enum Verdict {
    /// It was taken, but for so many; the receiver may say something about it.
    Taken {
        /// How many records or numbers it did not take.
        rejected: u64,
        /// What it says.
        why: String,
    },
    /// It may be taken later, after that time if it says one.
    Later(Option<Duration>, String),
    /// It will never be.
    Refused(String),
}

/// See the module.
pub struct Receiver {
    resource: Resource,
    way: Way,
}

enum Way {
    Grpc(Channel),
    Http(Uri),
}

impl Receiver {
    /// One that was not spoken to yet.
    ///
    /// # Errors
    /// If it cannot have that address.
    pub fn new(options: &Courier) -> anyhow::Result<Self> {
        let to = options.to.clone();
        let way = match options.protocol {
            Protocol::Grpc => {
                let endpoint = Endpoint::from(to.clone()).connect_timeout(PATIENCE);
                let connector = service_fn(move |_| {
                    let to = to.clone();
                    async move { connect(&to, GRPC).await.map(TokioIo::new) }
                });
                Way::Grpc(endpoint.connect_with_connector_lazy(connector))
            }
            Protocol::Http => Way::Http(to),
        };
        Ok(Self { resource: resource(&options.attributes), way })
    }

    /// Sends records.
    pub async fn records(&self, log_records: Vec<LogRecord>) -> Verdict {
        let logs = ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() };
        let logs =
            ResourceLogs { resource: Some(self.resource.clone()), scope_logs: vec![logs], ..ResourceLogs::default() };
        let request = ExportLogsServiceRequest { resource_logs: vec![logs] };
        let answered = |answer: ExportLogsServiceResponse| {
            let partly = answer.partial_success.unwrap_or_default();
            taken(partly.rejected_log_records, &partly.error_message)
        };
        match &self.way {
            Way::Grpc(channel) => called(LogsServiceClient::new(channel.clone()).export(request), answered).await,
            Way::Http(to) => posted(to, "/v1/logs", &request, answered).await,
        }
    }

    /// Sends the numbers of a moment.
    pub async fn metrics(&self, metrics: Vec<Metric>) -> Verdict {
        let metrics = ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() };
        let metrics = ResourceMetrics {
            resource: Some(self.resource.clone()),
            scope_metrics: vec![metrics],
            ..ResourceMetrics::default()
        };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![metrics] };
        let answered = |answer: ExportMetricsServiceResponse| {
            let partly = answer.partial_success.unwrap_or_default();
            taken(partly.rejected_data_points, &partly.error_message)
        };
        match &self.way {
            Way::Grpc(channel) => called(MetricsServiceClient::new(channel.clone()).export(request), answered).await,
            Way::Http(to) => posted(to, "/v1/metrics", &request, answered).await,
        }
    }
}

fn taken(rejected: i64, why: &str) -> Verdict {
    let said = if why.is_empty() { String::new() } else { format!(": {}", escape(why.as_bytes())) };
    let why = match rejected {
        0 => said.trim_start_matches(": ").to_owned(),
        _ => format!("{rejected} of what was sent were rejected{said}"),
    };
    Verdict::Taken { rejected: rejected.max(0).cast_unsigned(), why }
}

async fn called<T>(
    calling: impl Future<Output = Result<tonic::Response<T>, Status>>,
    answered: impl FnOnce(T) -> Verdict,
) -> Verdict {
    match timeout(PATIENCE, calling).await {
        Ok(Ok(answer)) => answered(answer.into_inner()),
        Ok(Err(status)) => failed(&status),
        Err(_) => Verdict::Later(None, format!("no answer within {PATIENCE:?}")),
    }
}

/// Which codes mean that it can be tried again: "Failures" of the specification. A transport that fails has none of the
/// receiver's.
fn failed(status: &Status) -> Verdict {
    let why = match status.message() {
        "" => status.code().description().to_owned(),
        message => format!("{} ({})", escape(message.as_bytes()), status.code().description()),
    };
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        | Code::ResourceExhausted => Verdict::Later(None, why),
        Code::Unknown if std::error::Error::source(status).is_some() => Verdict::Later(None, why),
        _ => Verdict::Refused(why),
    }
}

async fn posted<T: Message + Default>(
    to: &Uri,
    path: &str,
    request: &impl Message,
    answered: impl FnOnce(T) -> Verdict,
) -> Verdict {
    let body = Bytes::from(request.encode_to_vec());
    let answer = match timeout(PATIENCE, http::post(to, HTTP, path, PROTOBUF, &[], body)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Verdict::Later(None, format!("{error:#}")),
        Err(_) => return Verdict::Later(None, format!("no answer within {PATIENCE:?}")),
    };
    let why = format!("it answers {}", answer.status);
    match answer.status {
        // Some answer with nothing, or with JSON.
        status if status.is_success() => answered(T::decode(answer.body).unwrap_or_default()),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Verdict::Later(answer.after, why),
        _ => Verdict::Refused(why),
    }
}

fn scope() -> InstrumentationScope {
    let (name, version) = (env!("CARGO_PKG_NAME").to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    InstrumentationScope { name, version, ..InstrumentationScope::default() }
}

/// Who it is that sends, by the semantic conventions; what was configured counts more.
fn resource(configured: &[(String, String)]) -> Resource {
    let machine = uname();
    let own = [
        ("service.name", env!("CARGO_PKG_NAME").to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("host.name", escape(machine.nodename().to_bytes())),
        ("host.arch", arch(env::consts::ARCH).to_owned()),
        ("os.type", "linux".to_owned()),
        ("os.version", escape(machine.release().to_bytes())),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    let own = own.filter(|(name, _)| configured.iter().all(|(other, _)| other != name));
    let attributes = own.chain(configured.iter().cloned()).map(|(key, value)| {
        let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
        KeyValue { key, value, ..KeyValue::default() }
    });
    Resource { attributes: attributes.collect(), ..Resource::default() }
}

/// What the conventions call it.
fn arch(own: &str) -> &str {
    match own {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
