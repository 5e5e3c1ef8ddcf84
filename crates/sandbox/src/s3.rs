//! Buckets and their policies. What workspaces write is not simulated; a bucket holds as many
//! objects as its property `objects` says, which only tests set.

use cloud::Class;
use serde_json::{Value, json};

use crate::iam::check_principals;
use crate::sim::{Candidate, Finds, IdForm, Link, PLAIN, Sim, View, refuse};

pub(crate) const BUCKET: &str = "aws.bucket";
pub(crate) const POLICY: &str = "aws.bucket_policy";

pub(crate) const KINDS: &[Sim] = &[
    Sim {
        kind: BUCKET,
        service: "s3",
        id: IdForm::Field("name"),
        finds: Finds::KeyAndMark("name"),
        missing: "NoSuchBucket",
        check: |view, me| check_new(view, me, BUCKET, "name"),
        // Everything but name, region and tags is set by calls of its own.
        born: |_, props| {
            props["encryption"] = Value::Null;
            props["versioning"] = json!(false);
            props["block_public_access"] = json!(false);
            props["ownership"] = Value::Null;
        },
        leave: |_, bucket| match bucket.props["objects"].as_u64() {
            None | Some(0) => Ok(()),
            Some(_) => refuse(
                Class::Other,
                "BucketNotEmpty",
                "The bucket you tried to delete is not empty",
            ),
        },
        blank: r#"{"name":"","region":"","encryption":null,"versioning":false,"block_public_access":true,"ownership":null,"tags":{}}"#,
        ..PLAIN
    },
    Sim {
        kind: POLICY,
        service: "s3",
        id: IdForm::Field("bucket"),
        finds: Finds::IdOfWhole(&["policy"]),
        links: &[Link::firm("bucket", BUCKET)],
        part_of: Some(("bucket", BUCKET)),
        missing: "NoSuchBucketPolicy",
        check: |view, me| check_principals(view, &me.props["policy"], "MalformedPolicy"),
        blank: r#"{"bucket":"","policy":{"statements":[]}}"#,
        ..PLAIN
    },
];

fn check_new(view: &View, me: &Candidate, kind: &str, field: &str) -> cloud::Result<()> {
    let name = me.text(field);
    if me.id.is_none() && view.get(kind, name).is_some() {
        let message =
            "Your previous request to create the named bucket succeeded and you already own it.";
        return refuse(Class::AlreadyExists, "BucketAlreadyOwnedByYou", message);
    }
    Ok(())
}
