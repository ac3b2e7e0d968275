"""Ray Serve deployments: student replicas, the application, and the service of `mint serve`."""
