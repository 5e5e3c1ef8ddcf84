# Policies as teams write them for `terraform show -json`, unmodified: conftest test plan.json
package main

import rego.v1

# Nothing that holds data goes without somebody saying so.
deny contains msg if {
	some change in input.resource_changes
	change.type in {"databricks_mws_workspaces", "aws_s3_bucket"}
	"delete" in change.change.actions
	msg := sprintf("%s would be deleted", [change.address])
}

# Every bucket that is made blocks public access.
deny contains msg if {
	some change in input.resource_changes
	change.type == "aws_s3_bucket"
	change.change.actions == ["create"]
	not blocks_public_access(change.name)
	msg := sprintf("%s does not block public access", [change.address])
}

blocks_public_access(name) if {
	some resource in input.planned_values.root_module.resources
	resource.type == "aws_s3_bucket_public_access_block"
	resource.name == name
	resource.values.block_public_acls
	resource.values.block_public_policy
	resource.values.ignore_public_acls
	resource.values.restrict_public_buckets
}

# Nobody comes in from the internet.
deny contains msg if {
	some resource in input.planned_values.root_module.resources
	resource.type == "aws_security_group_rule"
	resource.values.type == "ingress"
	"0.0.0.0/0" in resource.values.cidr_blocks
	msg := sprintf("%s lets the internet in", [resource.address])
}

# Every workspace lies in a network of ours and is reached privately.
deny contains msg if {
	some resource in input.configuration.root_module.resources
	resource.type == "databricks_mws_workspaces"
	not resource.expressions.network_id
	msg := sprintf("%s has a network that Databricks makes", [resource.address])
}
