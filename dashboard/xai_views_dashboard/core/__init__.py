"""What all apps are made of: state, session, tasks, panels that follow."""
