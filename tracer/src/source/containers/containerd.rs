//! What containerd itself knows of a container: of one of `ctr` or `nerdctl`, only that has the image.

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

/// The call of `containerd.services.containers.v1`; below are those fields of its messages that are used.
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

/// Completes what is known of a container by what the containerd says that keeps its bundle.
pub(super) async fn complete(container: &mut Container, bundle: &Path) -> Result<(), Status> {
    // STATE/io.containerd.runtime.v2.task/NAMESPACE/ID; the socket is in STATE, or beside it (dockerd's own).
    let mut around = bundle.ancestors().skip(1);
    let namespace = around.next().and_then(|path| path.file_name()?.to_str());
    let socket = around.skip(1).take(2).map(|directory| directory.join("containerd.sock")).find(|path| path.exists());
    let (Some(namespace), Some(socket)) = (namespace, socket) else { return Ok(()) };
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
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(failed)?;
    let codec = ProstCodec::<GetContainerRequest, GetContainerResponse>::default();
    Ok(client.unary(request, PathAndQuery::from_static(GET), codec).await?.into_inner().container)
}

fn failed(error: tonic::transport::Error) -> Status {
    Status::from_error(Box::new(error))
}
