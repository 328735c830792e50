//! Clients that do as little as they can: connections that stay open, and answers that are read, not understood.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kinora_proto::scheduler::v1::video_service_client::VideoServiceClient;
use kinora_proto::scheduler::v1::{GetVideoRequest, ListVideosRequest};
use tokio::net::TcpStream;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;

use crate::video::ID;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1.
    One,
    /// HTTP/2, without TLS.
    Two,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `GetVideo`.
    Get,
    /// `ListVideos`.
    List,
}

/// One connection.
pub enum Client {
    Direct(Direct),
    Rest(Rest),
}

/// A channel of gRPC.
#[derive(Clone)]
pub struct Direct {
    videos: VideoServiceClient<Channel>,
    authorization: AsciiMetadataValue,
}

/// A connection of HTTP.
pub struct Rest {
    sender: Sender,
    host: HeaderValue,
    authorization: HeaderValue,
    get: Uri,
    list: Uri,
    events: Uri,
}

enum Sender {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

impl Client {
    /// Over a channel that connects with the first call.
    pub fn direct(channel: Channel, token: &str) -> Result<Self> {
        Ok(Self::Direct(Direct {
            videos: VideoServiceClient::new(channel),
            authorization: format!("Bearer {token}").parse()?,
        }))
    }

    /// Connects to something that speaks REST.
    pub async fn rest(address: SocketAddr, http: Http, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        let sender = match http {
            Http::One => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Sender::One(sender)
            }
            Http::Two => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Sender::Two(sender)
            }
        };
        let uri = |path: String| match http {
            Http::One => path.parse(),
            Http::Two => format!("http://{address}{path}").parse(),
        };
        Ok(Self::Rest(Rest {
            sender,
            host: address.to_string().parse()?,
            authorization: format!("Bearer {token}").parse()?,
            get: uri(format!("/v1/videos/{ID}"))?,
            list: uri("/v1/videos".to_owned())?,
            events: uri(format!("/v1/videos/{ID}/events"))?,
        }))
    }

    /// Another one on the same connection, where it takes several calls at a time.
    pub fn share(&self) -> Option<Self> {
        match self {
            Self::Direct(direct) => Some(Self::Direct(direct.clone())),
            Self::Rest(rest) => rest.share().map(Self::Rest),
        }
    }

    /// Asks for the video.
    pub async fn get(&mut self) -> Result<()> {
        self.call(Call::Get).await
    }

    /// Asks, and reads the answer to its end.
    pub async fn call(&mut self, call: Call) -> Result<()> {
        match self {
            Self::Direct(direct) => direct.call(call).await,
            Self::Rest(rest) => rest.call(call).await,
        }
    }

    /// Asks for events; they are the body.
    pub async fn events(&mut self) -> Result<Incoming> {
        let Self::Rest(rest) = self else {
            anyhow::bail!("only REST has server-sent events");
        };
        let events = rest.events.clone();
        Ok(rest.send(events).await?.into_body())
    }
}

impl Direct {
    async fn call(&mut self, call: Call) -> Result<()> {
        match call {
            Call::Get => {
                let request = self.request(GetVideoRequest { id: ID.to_owned() });
                let answer = self.videos.get_video(request).await?.into_inner();
                answer.video.context("an answer without a video")?;
            }
            Call::List => {
                let request = self.request(ListVideosRequest::default());
                let answer = self.videos.list_videos(request).await?.into_inner();
                ensure!(!answer.data.is_empty(), "an answer without videos");
            }
        }
        Ok(())
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let authorization = self.authorization.clone();
        request
            .metadata_mut()
            .insert("authorization", authorization);
        request
    }
}

impl Rest {
    fn share(&self) -> Option<Self> {
        let Sender::Two(sender) = &self.sender else {
            return None;
        };
        Some(Self {
            sender: Sender::Two(sender.clone()),
            host: self.host.clone(),
            authorization: self.authorization.clone(),
            get: self.get.clone(),
            list: self.list.clone(),
            events: self.events.clone(),
        })
    }

    async fn call(&mut self, call: Call) -> Result<()> {
        let uri = match call {
            Call::Get => self.get.clone(),
            Call::List => self.list.clone(),
        };
        let mut body = self.send(uri).await?.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        ensure!(bytes > 0, "an answer of nothing");
        Ok(())
    }

    async fn send(&mut self, uri: Uri) -> Result<Response<Incoming>> {
        let request = Request::get(uri).header(AUTHORIZATION, self.authorization.clone());
        let response = match &mut self.sender {
            Sender::One(sender) => {
                let request = request.header(HOST, self.host.clone());
                sender.ready().await?;
                sender.send_request(request.body(Empty::new())?).await?
            }
            Sender::Two(sender) => {
                sender.ready().await?;
                sender.send_request(request.body(Empty::new())?).await?
            }
        };
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::bail!("{status}: {}", String::from_utf8_lossy(&body))
    }
}
