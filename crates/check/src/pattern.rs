//! Patterns of IAM: `*` stands for any text, `?` for one letter.

/// Whether capitals make a difference: in ARNs they do, in actions they do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Counts,
    Ignored,
}

/// Whether a pattern fits a text.
pub(crate) fn fits(pattern: &str, text: &str, case: Case) -> bool {
    let same = |a: u8, b: u8| match case {
        Case::Counts => a == b,
        Case::Ignored => a.eq_ignore_ascii_case(&b),
    };
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // What follows the last star that was met, and where the text it has taken ends.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(letter) if *letter == b'?' || same(*letter, text[t]) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                p = after;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_iam() {
        let table = [
            ("ec2:*", "ec2:RunInstances", true),
            ("ec2:Describe*s", "ec2:DescribeVolumes", true),
            ("ec2:describe*", "ec2:DescribeVolumes", true),
            ("ec2:Run?nstances", "ec2:RunInstances", true),
            ("*", "", true),
            ("s3:Get*", "s3:PutObject", false),
            ("a*b*c", "aXbXbYc", true),
            ("a*b*c", "aXbXbY", false),
            ("arn:aws:s3:::b/*", "arn:aws:s3:::b/*", true),
            ("arn:aws:s3:::b", "arn:aws:s3:::b/*", false),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(fits(pattern, text, Case::Ignored), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text) in [("*", ""), ("a*c", "abbc"), ("a?c", "abc"), ("s3:*", "s3:Get")] {
            assert!(fits(pattern, text, Case::Counts), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a*c", "abcd"), ("a?", "a"), ("b/x*", "b/*")] {
            assert!(!fits(pattern, text, Case::Counts), "{pattern} {text}");
        }
        assert!(!fits("S3:*", "s3:Get", Case::Counts));
    }
}
