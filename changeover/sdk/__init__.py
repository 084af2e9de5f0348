"""For applications: flags and routing decided in the application, by snapshot."""
