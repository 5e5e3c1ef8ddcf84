use super::Sample;
use super::sto::stored;

pub(super) fn samples() -> Vec<Sample> {
    let key = |region: &str| {
        stored(&format!("kms_key: 'arn:aws:kms:{region}:123456789012:key/0a1b2c3d'"))
    };
    vec![Sample { rule: "DBX-KMS-006", broken: key("us-east-1"), fine: key("ap-northeast-1") }]
}
