//! The object store: any S3, and the S3 server embedded in one process
