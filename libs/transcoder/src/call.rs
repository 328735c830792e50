//! Calls by descriptors, and answers as JSON.

use bytes::Buf;
use kinora_mesh::channel::RetryChannel;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions, Value};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Response, Status, Streaming};

use crate::route::Route;
use crate::routes::InvalidRoutes;

/// No answer is longer: a page of a hundred videos with the longest prompts.
const MAX_ANSWER_BYTES: usize = 16 << 20;

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
    grpc.unary(request, route.call.clone(), DynamicCodec::of(route))
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
    grpc.server_streaming(request, route.call.clone(), DynamicCodec::of(route))
        .await
}

/// Writes a message as JSON: names of the contract, default values included, 64-bit numbers as texts.
///
/// # Errors
/// `Internal` when it holds what JSON cannot say, such as a timestamp out of range.
pub fn to_json(message: &DynamicMessage) -> Result<Vec<u8>, Status> {
    let mut json = Vec::new();
    message
        .serialize_with_options(&mut serde_json::Serializer::new(&mut json), &CANONICAL)
        .map_err(|error| Status::internal(format!("an answer is no JSON: {error}")))?;
    Ok(json)
}

const CANONICAL: SerializeOptions = SerializeOptions::new()
    .skip_default_fields(false)
    .use_proto_field_name(true);

/// Writes messages of one generated type as JSON, as [`to_json`] does.
#[derive(Clone, Debug)]
pub struct JsonWriter(MessageDescriptor);

impl JsonWriter {
    /// For messages of the type `name`, a full name in an encoded descriptor set.
    ///
    /// # Errors
    /// [`InvalidRoutes::Descriptors`] when the set cannot be read, or has no such type.
    pub fn new(descriptors: &[u8], name: &str) -> Result<Self, InvalidRoutes> {
        let pool = DescriptorPool::decode(descriptors)
            .map_err(|error| InvalidRoutes::Descriptors(error.to_string()))?;
        let missing = || InvalidRoutes::Descriptors(format!("there is no message {name}"));
        Ok(Self(pool.get_message_by_name(name).ok_or_else(missing)?))
    }

    /// Writes a message.
    ///
    /// # Errors
    /// When it is none of the type, or holds what JSON cannot say.
    pub fn write(&self, message: &impl Message) -> Result<serde_json::Value, serde_json::Error> {
        let bytes = message.encode_to_vec();
        let message = DynamicMessage::decode(self.0.clone(), bytes.as_slice());
        let message = message.map_err(<serde_json::Error as serde::ser::Error>::custom)?;
        message.serialize_with_options(serde_json::value::Serializer, &CANONICAL)
    }
}

/// Writes an answer of a route as JSON, as [`to_json`] does: the method's message, or the field of it that the route answers
/// with.
///
/// # Errors
/// As [`to_json`]; also `Internal` when the service left that field unset.
pub fn answer_json(route: &Route, message: &DynamicMessage) -> Result<Vec<u8>, Status> {
    with_answer(route, message, to_json)
}

/// The message that is the answer of a route: the method's, or the field of it that the route answers with.
///
/// # Errors
/// `Internal` when the service left that field unset.
pub fn answer(route: &Route, message: &DynamicMessage) -> Result<DynamicMessage, Status> {
    with_answer(route, message, |message| Ok(message.clone()))
}

fn with_answer<T>(
    route: &Route,
    message: &DynamicMessage,
    read: impl FnOnce(&DynamicMessage) -> Result<T, Status>,
) -> Result<T, Status> {
    let Some(field) = &route.response else {
        return read(message);
    };
    let value = message.has_field(field).then(|| message.get_field(field));
    let answer = value.as_deref().and_then(Value::as_message);
    let missing = || Status::internal(format!("an answer has no {}", field.full_name()));
    read(answer.ok_or_else(missing)?)
}

async fn ready(channel: RetryChannel) -> Result<Grpc<RetryChannel>, Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
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
