"""Who there is: people, machines and resources; how the first two prove who they are."""
