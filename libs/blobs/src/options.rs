//! How to reach an object store.

use clap::Args;
use kinora_mesh::secret::Secret;

/// Where the object store is and how to sign for it.
#[derive(Args, Clone, Debug)]
pub struct BlobOptions {
    /// URL of the S3 endpoint as this process reaches it, such as `http://127.0.0.1:9000`.
    #[arg(id = "s3_endpoint", long = "s3-endpoint", env = "KINORA_S3_ENDPOINT")]
    pub endpoint: String,
    /// URL of the same endpoint as browsers and clients reach it, when that differs; presigned URLs begin with it.
    #[arg(
        id = "s3_public_endpoint",
        long = "s3-public-endpoint",
        env = "KINORA_S3_PUBLIC_ENDPOINT"
    )]
    pub public_endpoint: Option<String>,
    /// Region that requests are signed for; `us-east-1` where the store has none.
    #[arg(
        id = "s3_region",
        long = "s3-region",
        env = "KINORA_S3_REGION",
        default_value = "us-east-1"
    )]
    pub region: String,
    /// The one bucket that is used.
    #[arg(
        id = "s3_bucket",
        long = "s3-bucket",
        env = "KINORA_S3_BUCKET",
        default_value = "kinora"
    )]
    pub bucket: String,
    /// Id of the access key.
    #[arg(
        id = "s3_access_key",
        long = "s3-access-key",
        env = "KINORA_S3_ACCESS_KEY"
    )]
    pub access_key: String,
    /// The access key's secret.
    #[arg(
        id = "s3_secret_key",
        long = "s3-secret-key",
        env = "KINORA_S3_SECRET_KEY",
        hide_env_values = true
    )]
    pub secret_key: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_of_options_holds_no_secret() {
        let options = BlobOptions {
            endpoint: "http://localhost".into(),
            public_endpoint: None,
            region: "us-east-1".into(),
            bucket: "kinora".into(),
            access_key: "key".into(),
            secret_key: Secret::new("hunter2"),
        };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
