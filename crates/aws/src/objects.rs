//! A bucket as a store of objects with conditional writes.
//!
//! API: GetObject, PutObject with `If-Match` and `If-None-Match`, ListObjectsV2, DeleteObjects,
//! GetBucketVersioning.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, Delete, Object as Listed, ObjectIdentifier, ServerSideEncryption,
};
use cloud::{Class, Error, Etag, Object, Objects, Only, Put, Result};
use futures::future::BoxFuture;

use crate::Aws;
use crate::error::Named;

/// Keys that one DeleteObjects takes.
const KEYS_A_CALL: usize = 1000;

/// A bucket, and how what is written to it is encrypted.
#[derive(Debug, Clone)]
pub struct StateBucket {
    s3: aws_sdk_s3::Client,
    name: String,
    kms_key: Option<String>,
}

impl StateBucket {
    /// The bucket of that name. Everything written is encrypted with the KMS key of that ARN, or with
    /// keys of S3. Makes no call.
    pub fn new(aws: &Aws, name: &str, kms_key: Option<&str>) -> Self {
        let (name, kms_key) = (name.to_owned(), kms_key.map(str::to_owned));
        StateBucket { s3: aws.s3.clone(), name, kms_key }
    }

    async fn read(&self, key: &str) -> Result<Option<Object>> {
        let call = "s3:GetObject";
        let answer = match self.s3.get_object().bucket(&self.name).key(key).send().await.named(call)
        {
            Err(error) if error.code.as_deref() == Some("NoSuchKey") => return Ok(None),
            answer => answer?,
        };
        let etag = tagged(call, answer.e_tag)?;
        let body = answer.body.collect().await;
        let body = body.map_err(|e| Error::new(Class::Transient, call, e.to_string()))?;
        Ok(Some(Object { bytes: body.to_vec(), etag }))
    }

    async fn write(&self, key: &str, bytes: Vec<u8>, only: Only) -> Result<Put> {
        let call = "s3:PutObject";
        let put = self.s3.put_object().bucket(&self.name).key(key).body(ByteStream::from(bytes));
        let put = match only {
            Only::IfAbsent => put.if_none_match("*"),
            Only::IfUnchanged(Etag(tag)) => put.if_match(tag),
        };
        let put = match &self.kms_key {
            Some(key) => put
                .server_side_encryption(ServerSideEncryption::AwsKms)
                .ssekms_key_id(key)
                .bucket_key_enabled(true),
            None => put.server_side_encryption(ServerSideEncryption::Aes256),
        };
        match put.send().await.named(call) {
            Ok(answer) => Ok(Put::Done(tagged(call, answer.e_tag)?)),
            Err(error) if is_refusal(&error) => Ok(Put::Refused),
            Err(error) => Err(error),
        }
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut page = None;
        loop {
            let list = self.s3.list_objects_v2().bucket(&self.name).prefix(prefix);
            let answer =
                list.set_continuation_token(page).send().await.named("s3:ListObjectsV2")?;
            keys.extend(answer.contents.into_iter().flatten().filter_map(|o: Listed| o.key));
            page = answer.next_continuation_token;
            if page.is_none() {
                return Ok(keys);
            }
        }
    }

    async fn remove(&self, keys: &[String]) -> Result<()> {
        let call = "s3:DeleteObjects";
        for keys in keys.chunks(KEYS_A_CALL) {
            let ids = keys.iter().map(|key| ObjectIdentifier::builder().key(key).build());
            let ids = ids.collect::<std::result::Result<Vec<_>, _>>().named(call)?;
            let delete =
                Delete::builder().set_objects(Some(ids)).quiet(true).build().named(call)?;
            let answer = self.s3.delete_objects().bucket(&self.name).delete(delete).send().await;
            // The call succeeds even when it could not delete a single object.
            if let Some(failed) = answer.named(call)?.errors.into_iter().flatten().next() {
                let message = failed.message.unwrap_or_default();
                let code = failed.code.unwrap_or_default();
                let class = crate::classify(&code, 0, &message);
                return Err(Error::new(class, call, message).with_code(code));
            }
        }
        Ok(())
    }

    async fn versioned(&self) -> Result<bool> {
        let call = self.s3.get_bucket_versioning().bucket(&self.name).send();
        let status = call.await.named("s3:GetBucketVersioning")?.status;
        Ok(status == Some(BucketVersioningStatus::Enabled))
    }
}

/// 412; 409 when another conditional write of the same key is under way; 404 for `If-Match` on an
/// object that is not there (S3 user guide, "conditional writes").
fn is_refusal(error: &Error) -> bool {
    let codes = ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"];
    error.status == Some(412) || error.code.as_deref().is_some_and(|code| codes.contains(&code))
}

fn tagged(call: &str, etag: Option<String>) -> Result<Etag> {
    etag.map(Etag).ok_or_else(|| Error::new(Class::Other, call, "the answer has no ETag"))
}

impl Objects for StateBucket {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Object>>> {
        Box::pin(self.read(key))
    }
    fn put<'a>(&'a self, key: &'a str, bytes: Vec<u8>, only: Only) -> BoxFuture<'a, Result<Put>> {
        Box::pin(self.write(key, bytes, only))
    }
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(self.keys(prefix))
    }
    fn delete<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.remove(keys))
    }
    fn keeps_versions(&self) -> BoxFuture<'_, Result<bool>> {
        Box::pin(self.versioned())
    }
}
