"""The gateway: plan and routing state become Envoy's configuration; publish, confirm, read back."""
