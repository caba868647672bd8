"""Training of spiking Q-networks: a teacher by double Q-learning, and a spiking student of it; or the student by itself."""
