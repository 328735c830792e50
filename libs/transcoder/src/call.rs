//! Calls by descriptors, and answers as JSON.

use bytes::Buf;
use kinora_mesh::channel::RetryChannel;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Response, Status, Streaming};

use crate::routes::Route;

/// Calls a method that answers once.
///
/// # Errors
/// The service's answer, or `Unavailable` when it is away.
pub async fn call(
    channel: RetryChannel,
    route: &Route,
    request: Request<DynamicMessage>,
) -> Result<Response<DynamicMessage>, Status> {
    let mut grpc = ready(channel).await?;
    grpc.unary(request, route.call(), DynamicCodec::of(route))
        .await
}

/// Calls a method that answers with a stream.
///
/// # Errors
/// As [`call`].
pub async fn stream(
    channel: RetryChannel,
    route: &Route,
    request: Request<DynamicMessage>,
) -> Result<Response<Streaming<DynamicMessage>>, Status> {
    let mut grpc = ready(channel).await?;
    grpc.server_streaming(request, route.call(), DynamicCodec::of(route))
        .await
}

/// Writes a message as JSON: names of the contract, default values included, 64-bit numbers as texts.
///
/// # Errors
/// `Internal` when it holds what JSON cannot say, such as a timestamp out of range.
pub fn to_json(message: &DynamicMessage) -> Result<Vec<u8>, Status> {
    let options = SerializeOptions::new()
        .skip_default_fields(false)
        .use_proto_field_name(true);
    let mut json = Vec::new();
    message
        .serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options)
        .map_err(|error| Status::internal(format!("an answer is no JSON: {error}")))?;
    Ok(json)
}

async fn ready(channel: RetryChannel) -> Result<Grpc<RetryChannel>, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(grpc)
}

/// Encodes and decodes messages whose types are known by descriptors only.
struct DynamicCodec {
    output: MessageDescriptor,
}

impl DynamicCodec {
    fn of(route: &Route) -> Self {
        Self {
            output: route.method.output(),
        }
    }
}

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = DynamicEncoder;
    type Decoder = DynamicDecoder;

    fn encoder(&mut self) -> DynamicEncoder {
        DynamicEncoder
    }

    fn decoder(&mut self) -> DynamicDecoder {
        DynamicDecoder(self.output.clone())
    }
}

struct DynamicEncoder;

impl Encoder for DynamicEncoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(
        &mut self,
        message: DynamicMessage,
        buffer: &mut EncodeBuf<'_>,
    ) -> Result<(), Status> {
        message
            .encode(buffer)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

struct DynamicDecoder(MessageDescriptor);

impl Decoder for DynamicDecoder {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        DynamicMessage::decode(self.0.clone(), bytes)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
