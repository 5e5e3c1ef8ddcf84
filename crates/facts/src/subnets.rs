//! How big subnets may be, how many nodes fit, and which ranges are taken.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The biggest workspace subnet.
pub const BIGGEST: u8 = 17;
/// The smallest workspace subnet. The Terraform provider's page says /25.
pub const SMALLEST: u8 = 26;
/// The biggest VPC or subnet AWS makes.
pub const AWS_BIGGEST: u8 = 16;
/// The smallest VPC or subnet AWS makes.
pub const AWS_SMALLEST: u8 = 28;
/// Addresses AWS keeps for itself in every subnet.
pub const KEPT_BY_AWS: u32 = 5;
/// Addresses of a node: one for management, one for Spark.
pub const ADDRESSES_PER_NODE: u32 = 2;

/// Ranges that nodes use internally: no VPC may overlap them.
///
/// Source: Databricks, "Configure a customer-managed VPC"; the last is the container bridge.
pub const RESERVED: [Ipv4Net; 4] = [
    net(127, 187, 216, 0, 24),
    net(192, 168, 216, 0, 24),
    net(198, 18, 216, 0, 24),
    net(172, 17, 0, 0, 16),
];

/// How many addresses AWS leaves in a subnet of that prefix length.
pub fn usable(prefix: u8) -> u32 {
    let addresses = 1u64.checked_shl(u32::from(32_u8.saturating_sub(prefix))).unwrap_or(0);
    u32::try_from(addresses.saturating_sub(u64::from(KEPT_BY_AWS))).unwrap_or(u32::MAX)
}

/// How many nodes fit into a workspace subnet of that prefix length.
pub fn nodes(prefix: u8) -> u32 {
    nodes_beside(prefix, 0)
}

/// How many nodes fit beside endpoints and gateways with so many addresses.
pub fn nodes_beside(prefix: u8, others: u32) -> u32 {
    usable(prefix).saturating_sub(others) / ADDRESSES_PER_NODE
}

/// The smallest workspace subnet with room for so many nodes; `None` when none is big enough.
pub fn prefix_for(wanted: u32) -> Option<u8> {
    (BIGGEST..=SMALLEST).rev().find(|prefix| nodes(*prefix) >= wanted)
}

/// Whether the two share an address.
pub fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

const fn net(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_per_prefix() {
        let table = [
            (17, 16381),
            (18, 8189),
            (19, 4093),
            (20, 2045),
            (21, 1021),
            (22, 509),
            (23, 253),
            (24, 125),
            (25, 61),
            (26, 29),
        ];
        for (prefix, expected) in table {
            assert_eq!(nodes(prefix), expected, "/{prefix}");
            assert_eq!(prefix_for(expected), Some(prefix), "{expected} nodes");
        }
        assert_eq!(prefix_for(16382), None);
        assert_eq!(prefix_for(0), Some(26));
    }
}
