package engineio

// PollWaits reports whether a poll waits for something to say.
func (s *Session) PollWaits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.poll != nil && s.poll.wake != nil
}

// Probed reports whether there is a WebSocket that may become the transport.
func (s *Session) Probed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.probe != nil
}
