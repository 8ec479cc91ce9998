package rooms

// QueueLength is how many tasks of the room its goroutine has not taken yet.
func (h *Hub) QueueLength(id string) int {
	q := h.room(id).queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.tasks)
}
