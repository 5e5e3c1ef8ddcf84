//! One route in a table that is used, not owned.

use std::collections::{BTreeMap, BTreeSet};

use ::aws::Aws;
use cloud::{Class, Error, Result};
use engine::{Diff, Found, Kind, Ref, Wanted};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::route_table;
use super::route_table::{RouteTableId, SeenTarget, Target};

engine::id! {
    /// `rtb-…|10.0.0.0/16`: a route has no id of its own.
    RouteId,
}

/// `aws.route`
pub struct Route;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Props {
    pub table: Ref<RouteTableId>,
    /// Canonical: no host bits.
    pub destination: Ipv4Net,
    pub target: Target,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub table: RouteTableId,
    pub destination: Ipv4Net,
    pub target: SeenTarget,
}

impl Kind for Route {
    const NAME: &'static str = "aws.route";
    const SERVICE: &'static str = "ec2";
    const UNIQUE: bool = true;

    type Cloud = Aws;
    type Id = RouteId;
    type Props = Props;
    type Seen = Seen;

    fn diff(want: &Props, have: &Seen) -> Diff {
        let Props { table, destination, target } = want;
        Diff::default()
            .replace("table", table, &have.table)
            .replace("destination", destination, &have.destination)
            .update("target", target, &have.target)
    }

    async fn read(cloud: &Aws, ids: &[RouteId]) -> Result<Vec<Option<Seen>>> {
        let parts: Vec<_> = ids.iter().map(parts).collect::<Result<_>>()?;
        let owners: BTreeSet<RouteTableId> = parts.iter().map(|(table, _)| table.clone()).collect();
        let known = all_routes(cloud, owners).await?;
        let seen = |(table, destination): (RouteTableId, Ipv4Net)| {
            let target = known.get(&table)?.get(&destination)?.clone();
            Some(Seen { table, destination, target })
        };
        Ok(parts.into_iter().map(seen).collect())
    }

    /// Routes carry no marks: one that leads where we want it is ours, any other is not.
    async fn find(
        cloud: &Aws,
        _stack: &str,
        wanted: &[Wanted<Props>],
    ) -> Result<Vec<Vec<Found<RouteId>>>> {
        let owners = wanted.iter().filter_map(|w| w.props.table.get().ok().cloned()).collect();
        let known = all_routes(cloud, owners).await?;
        let found = |Wanted { props, .. }: &Wanted<Props>| {
            let table = props.table.get().ok()?;
            let target = known.get(table)?.get(&props.destination)?;
            let id = id(table, props.destination);
            let same =
                serde_json::to_value(target).ok() == serde_json::to_value(&props.target).ok();
            Some(if same { Found::Ours(id) } else { Found::Foreign(id) })
        };
        Ok(wanted.iter().map(|w| found(w).into_iter().collect()).collect())
    }

    async fn create(cloud: &Aws, props: &Props) -> Result<RouteId> {
        let table = props.table.get()?;
        route_table::create_route(cloud, table, props.destination, &props.target).await?;
        Ok(id(table, props.destination))
    }

    async fn update(cloud: &Aws, id: &RouteId, props: &Props, _diff: &Diff) -> Result<()> {
        let (table, destination) = parts(id)?;
        route_table::replace_route(cloud, &table, destination, &props.target).await
    }

    async fn delete(cloud: &Aws, id: &RouteId) -> Result<()> {
        let (table, destination) = parts(id)?;
        route_table::delete_route(cloud, &table, destination).await
    }
}

fn id(table: &RouteTableId, destination: Ipv4Net) -> RouteId {
    RouteId(format!("{table}|{destination}"))
}

fn parts(id: &RouteId) -> Result<(RouteTableId, Ipv4Net)> {
    let parts = id.0.split_once('|').and_then(|(t, d)| Some((t.into(), d.parse().ok()?)));
    parts.ok_or_else(|| {
        let message = format!("`{id}` is no route id: a route table's id, `|`, an IPv4 block");
        Error::new(Class::Invalid, "ec2:DescribeRouteTables", message)
    })
}

/// All routes of these tables, by table.
async fn all_routes(
    cloud: &Aws,
    tables: BTreeSet<RouteTableId>,
) -> Result<BTreeMap<RouteTableId, BTreeMap<Ipv4Net, SeenTarget>>> {
    let tables: Vec<_> = tables.into_iter().collect();
    let mut known = BTreeMap::new();
    for table in route_table::tables(cloud, &tables).await? {
        if let Some(id) = table.route_table_id() {
            known.insert(id.into(), route_table::routes(&table)?);
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_round_trips() {
        let (table, destination) = ("rtb-1".into(), "10.0.0.0/16".parse().unwrap());
        assert_eq!(parts(&id(&table, destination)), Ok((table, destination)));
        for bad in ["rtb-1", "rtb-1|x", ""] {
            assert!(parts(&bad.into()).is_err(), "{bad}");
        }
    }
}
