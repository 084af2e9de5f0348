"""Whether one OpenAPI document accepts every request that another one accepts. Pure."""
