"""Node.js applications: which Node they want, who installs their packages, how they are built and started."""
