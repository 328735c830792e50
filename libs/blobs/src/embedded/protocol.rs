//! S3's operations on [`ObjectFiles`].

use std::io::{self, ErrorKind};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt;
use http::{HeaderMap, StatusCode};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    Checksum, ChecksumAlgorithm, CreateBucketInput, CreateBucketOutput, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag,
    GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput,
    HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object, PutObjectInput,
    PutObjectOutput, StreamingBlob,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio_util::io::ReaderStream;
use tracing::error;

use super::files::{Attributes, Incoming, ListedObject, ObjectFiles, StoredObject};

const READ_CHUNK_BYTES: usize = 1 << 17;
const MAX_LISTED: usize = 1000;

pub(super) struct Protocol {
    files: Arc<ObjectFiles>,
}

impl Protocol {
    pub fn new(files: Arc<ObjectFiles>) -> Self {
        Self { files }
    }

    fn require_bucket(&self, bucket: &str) -> S3Result<()> {
        if self.files.has_bucket(bucket) {
            Ok(())
        } else {
            Err(s3_error!(NoSuchBucket))
        }
    }

    async fn open(&self, bucket: &str, key: &str) -> S3Result<StoredObject> {
        match self.files.read(bucket, key).await.map_err(answer_to)? {
            Some(object) => Ok(object),
            None => {
                self.require_bucket(bucket)?;
                Err(s3_error!(NoSuchKey))
            }
        }
    }
}

#[async_trait::async_trait]
impl S3 for Protocol {
    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        match self.files.create_bucket(&req.input.bucket) {
            Ok(()) => Ok(S3Response::new(CreateBucketOutput::default())),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(s3_error!(BucketAlreadyOwnedByYou))
            }
            Err(error) => Err(answer_to(error)),
        }
    }

    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.require_bucket(&req.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let mut input = req.input;
        self.require_bucket(&input.bucket)?;
        if input.if_match.is_some() || input.if_none_match.is_some() || input.metadata.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "conditions and metadata are not kept"
            ));
        }
        let body = input.body.take().ok_or_else(|| s3_error!(IncompleteBody))?;
        let mut incoming = self.files.begin().await.map_err(answer_to)?;
        let (md5, computed) = receive(body, &mut incoming, checksums_wanted(&input)).await?;
        // Trailers come after the body, so they are there only now.
        let trailers = req.trailing_headers.and_then(|trailers| trailers.take());
        check_digests(&input, &computed, trailers.as_ref(), &md5)?;
        let attributes = Attributes {
            content_type: input.content_type,
            content_disposition: input.content_disposition,
            cache_control: input.cache_control,
            md5: hex::encode(md5),
        };
        let committed = self
            .files
            .commit(incoming, &input.bucket, &input.key, &attributes);
        committed.await.map_err(answer_to)?;
        let e_tag = Some(ETag::Strong(attributes.md5));
        Ok(S3Response::new(PutObjectOutput {
            e_tag,
            ..Default::default()
        }))
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let StoredObject {
            mut file,
            size,
            modified,
            attributes,
        } = self.open(&input.bucket, &input.key).await?;
        let range = match input.range {
            Some(range) => range.check(size)?,
            None => 0..size,
        };
        file.seek(SeekFrom::Start(range.start))
            .await
            .map_err(answer_to)?;
        let length = range.end - range.start;
        let bytes = ReaderStream::with_capacity(file.take(length), READ_CHUNK_BYTES);
        let content_range = input
            .range
            .map(|_| format!("bytes {}-{}/{size}", range.start, range.end - 1));
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(StreamingBlob::wrap(bytes)),
            content_length: Some(signed(length)?),
            content_range,
            content_type: input.response_content_type.or(attributes.content_type),
            content_disposition: input
                .response_content_disposition
                .or(attributes.content_disposition),
            cache_control: input.response_cache_control.or(attributes.cache_control),
            e_tag: Some(ETag::Strong(attributes.md5)),
            last_modified: Some(modified.into()),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let object = self.open(&input.bucket, &input.key).await?;
        let attributes = object.attributes;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(signed(object.size)?),
            content_type: input.response_content_type.or(attributes.content_type),
            content_disposition: input
                .response_content_disposition
                .or(attributes.content_disposition),
            cache_control: input.response_cache_control.or(attributes.cache_control),
            e_tag: Some(ETag::Strong(attributes.md5)),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.require_bucket(&req.input.bucket)?;
        self.files
            .delete(&req.input.bucket, &req.input.key)
            .await
            .map_err(answer_to)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = req.input;
        self.require_bucket(&input.bucket)?;
        let mut deleted = Vec::with_capacity(input.delete.objects.len());
        for object in input.delete.objects {
            self.files
                .delete(&input.bucket, &object.key)
                .await
                .map_err(answer_to)?;
            deleted.push(DeletedObject {
                key: Some(object.key),
                ..Default::default()
            });
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(deleted),
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        self.require_bucket(&input.bucket)?;
        if input.delimiter.is_some() {
            return Err(s3_error!(NotImplemented, "lists are not grouped"));
        }
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let mut objects = self
            .files
            .list(&input.bucket, prefix)
            .await
            .map_err(answer_to)?;
        // A token is the last key of the page before, which comes no earlier than any start_after.
        if let Some(last_seen) = input
            .continuation_token
            .as_ref()
            .or(input.start_after.as_ref())
        {
            objects.retain(|object| object.key > *last_seen);
        }
        let page = page_size(input.max_keys);
        let is_truncated = objects.len() > page;
        objects.truncate(page);
        let next = objects
            .last()
            .filter(|_| is_truncated)
            .map(|object| object.key.clone());
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(objects.len()).ok(),
            contents: Some(objects.into_iter().map(listed).collect::<S3Result<_>>()?),
            is_truncated: Some(is_truncated),
            next_continuation_token: next,
            name: Some(input.bucket),
            prefix: input.prefix,
            ..Default::default()
        }))
    }
}

/// Writes a body to its upload; answers its MD5 and the wanted checksums.
async fn receive(
    mut body: StreamingBlob,
    incoming: &mut Incoming,
    mut checksums: ChecksumHasher,
) -> S3Result<([u8; 16], Checksum)> {
    let mut md5 = Md5::new();
    while let Some(chunk) = body.next().await {
        let chunk =
            chunk.map_err(|error| S3Error::with_source(S3ErrorCode::IncompleteBody, error))?;
        md5.update(&chunk);
        checksums.update(&chunk);
        incoming.write(&chunk).await.map_err(answer_to)?;
    }
    Ok((md5.finalize(), checksums.finalize()))
}

/// The checksums that the client announces, in a header or in the trailers to come.
fn checksums_wanted(input: &PutObjectInput) -> ChecksumHasher {
    let announced = input
        .checksum_algorithm
        .as_ref()
        .map(ChecksumAlgorithm::as_str);
    let wants =
        |algorithm: &str, header: &Option<String>| header.is_some() || announced == Some(algorithm);
    ChecksumHasher {
        crc32: wants(ChecksumAlgorithm::CRC32, &input.checksum_crc32).then(Default::default),
        crc32c: wants(ChecksumAlgorithm::CRC32C, &input.checksum_crc32c).then(Default::default),
        sha1: wants(ChecksumAlgorithm::SHA1, &input.checksum_sha1).then(Default::default),
        sha256: wants(ChecksumAlgorithm::SHA256, &input.checksum_sha256).then(Default::default),
        crc64nvme: wants(ChecksumAlgorithm::CRC64NVME, &input.checksum_crc64nvme)
            .then(Default::default),
    }
}

/// Refuses a body that is not what the client says it sent.
fn check_digests(
    input: &PutObjectInput,
    computed: &Checksum,
    trailers: Option<&HeaderMap>,
    md5: &[u8],
) -> S3Result<()> {
    let pairs = [
        ("crc32", &input.checksum_crc32, &computed.checksum_crc32),
        ("crc32c", &input.checksum_crc32c, &computed.checksum_crc32c),
        ("sha1", &input.checksum_sha1, &computed.checksum_sha1),
        ("sha256", &input.checksum_sha256, &computed.checksum_sha256),
        (
            "crc64nvme",
            &input.checksum_crc64nvme,
            &computed.checksum_crc64nvme,
        ),
    ];
    for (name, header, computed) in pairs {
        let trailer = trailers.and_then(|all| all.get(format!("x-amz-checksum-{name}")));
        let expected = header
            .as_deref()
            .or(trailer.and_then(|value| value.to_str().ok()));
        if expected.is_some() && expected != computed.as_deref() {
            return Err(s3_error!(
                BadDigest,
                "the body does not have the {name} that was sent"
            ));
        }
    }
    let content_md5 = input.content_md5.as_ref();
    if content_md5.is_some_and(|expected| *expected != BASE64_STANDARD.encode(md5)) {
        return Err(s3_error!(
            BadDigest,
            "the body does not have the MD5 that was sent"
        ));
    }
    Ok(())
}

/// The number of keys a list answers at most.
fn page_size(max_keys: Option<i32>) -> usize {
    let asked = max_keys.and_then(|count| usize::try_from(count).ok());
    asked.unwrap_or(MAX_LISTED).min(MAX_LISTED)
}

fn listed(object: ListedObject) -> S3Result<Object> {
    Ok(Object {
        key: Some(object.key),
        size: Some(signed(object.size)?),
        last_modified: Some(object.modified.into()),
        ..Default::default()
    })
}

fn signed(size: u64) -> S3Result<i64> {
    i64::try_from(size).map_err(S3Error::internal_error)
}

/// What a client is told about a failed file operation.
fn answer_to(error: io::Error) -> S3Error {
    match error.kind() {
        // A file size limit and a quota are as full as a full disk.
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            error!(%error, "object store is full");
            let mut answer = S3Error::new(S3ErrorCode::Custom("XMinioStorageFull".into()));
            answer.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
            answer.set_message("the object store's disk is full");
            answer
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            error!(%error, "object store cannot be written");
            s3_error!(AccessDenied, "the object store's folder cannot be written")
        }
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput => {
            s3_error!(InvalidArgument, "key or headers cannot be stored")
        }
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            s3_error!(
                InvalidArgument,
                "part of the key is the key of another object"
            )
        }
        _ => {
            error!(%error, "object store failed");
            s3_error!(InternalError)
        }
    }
}
