echo "Hello from a git repository."
