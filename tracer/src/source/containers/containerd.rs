//! What containerd itself knows about a container. For those of `ctr` and `nerdctl`, only it knows the image.

use std::{collections::HashMap, path::Path};

use prost::Message;
use tonic::{
    Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::host::Container;

/// The call of `containerd.services.containers.v1`; below are the fields of its messages that are used.
const GET: &str = "/containerd.services.containers.v1.Containers/Get";

#[derive(Clone, PartialEq, Message)]
struct GetContainerRequest {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    container: Option<Known>,
}

#[derive(Clone, PartialEq, Message)]
struct Known {
    #[prost(map = "string, string", tag = "2")]
    labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    image: String,
}

/// The most that is read of an answer: a container and its labels.
const ANSWER_MAX: usize = 1 << 20;

/// Completes what is known about a container with what the containerd at that socket says. Ends only if it answers, so
/// call it with a time limit.
pub(super) async fn complete(container: &mut Container, socket: &Path, namespace: &str) -> Result<(), Status> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.to_string_lossy())).map_err(failed)?;
    let channel = endpoint.connect().await.map_err(failed)?;
    let Known { mut labels, image } = get(channel, namespace, &container.id).await?.unwrap_or_default();
    container.image = container.image.take().or(Some(image).filter(|image| !image.is_empty()));
    container.name = container.name.take().or_else(|| labels.remove("nerdctl/name"));
    Ok(())
}

async fn get(channel: Channel, namespace: &str, id: &str) -> Result<Option<Known>, Status> {
    let mut request = Request::new(GetContainerRequest { id: id.to_owned() });
    let namespace = namespace.parse().map_err(|_| Status::invalid_argument("a namespace that is no word"))?;
    request.metadata_mut().insert("containerd-namespace", namespace);
    let mut client = Grpc::new(channel).max_decoding_message_size(ANSWER_MAX);
    client.ready().await.map_err(failed)?;
    let codec = ProstCodec::<GetContainerRequest, GetContainerResponse>::default();
    Ok(client.unary(request, PathAndQuery::from_static(GET), codec).await?.into_inner().container)
}

fn failed(error: tonic::transport::Error) -> Status {
    Status::from_error(Box::new(error))
}
